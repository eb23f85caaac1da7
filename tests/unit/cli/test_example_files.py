import stat
from pathlib import Path

import pytest

from agentflow.errors import ConfigurationError
from cli import example_files
from cli.example_files import SAMPLE_DOCUMENT, SAMPLE_LETTER, copy_sample_documents, example_folder
from promptops.prompt_file import parse_prompt_file


def test_the_example_has_a_workflow_a_document_and_prompts_that_can_be_read() -> None:
    folder = example_folder()

    prompts = [parse_prompt_file(file.read_text(encoding="utf-8")) for file in (folder / "prompts").glob("*.yaml")]
    assert {"document_analyzer", "document_summarizer"} == {prompt.name for prompt in prompts}
    assert (folder / "workflow.yaml").is_file()
    assert (folder / SAMPLE_DOCUMENT).read_bytes().startswith(b"%PDF-")


def test_a_folder_is_made_with_the_documents_for_its_owner_only(tmp_path: Path) -> None:
    folder = copy_sample_documents(tmp_path / "deep" / "documents")

    assert tmp_path / "deep" / "documents" == folder
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert {SAMPLE_DOCUMENT, SAMPLE_LETTER} == {file.name for file in folder.iterdir()}
    assert (example_folder() / SAMPLE_DOCUMENT).read_bytes() == (folder / SAMPLE_DOCUMENT).read_bytes()
    assert "14 March" in (folder / SAMPLE_LETTER).read_text(encoding="utf-8")


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / SAMPLE_DOCUMENT).write_text("the user's own", encoding="utf-8")

    assert tmp_path == copy_sample_documents(tmp_path)
    assert "the user's own" == (tmp_path / SAMPLE_DOCUMENT).read_text(encoding="utf-8")


def test_an_installation_without_the_example_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_files, "__file__", str(tmp_path / "cli" / "example_files.py"))

    with pytest.raises(ConfigurationError, match="install the package anew"):
        example_folder()
