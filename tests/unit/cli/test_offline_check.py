import json
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer

DOCUMENT = """\
name: letters
inputs: {type: object, properties: {lang: {type: string, default: en}}}
nodes:
- {id: ask, type: llm, config: {prompt_ref: say@2, model: openai/small, inputs: {text: inputs.lang}}}
- {id: look, type: tool, config: {tool_name: "mcp:github/search", tool_args: {q: "{{ ask.output }}"}}}
- {id: below, type: workflow, config: {name: other, inputs: {x: look.output}}}
- {id: gate, type: approval, config: {message: Go?, approvers: [ada], show: {x: below.output.anything}}}
"""
VERSIONS = {"say.v1.yaml": "name: say\ntemplate: Hello\n", "say.v2.yaml": "name: say\ntemplate: '{{ text }}'\n"}


@pytest.fixture
def document(home: Path) -> Path:
    """A document, with the prompts that it names beside it."""
    (home / "prompts").mkdir()
    for name, text in VERSIONS.items():
        (home / "prompts" / name).write_text(text)
    file = home / "letters.yaml"
    file.write_text(DOCUMENT)
    return file


def test_a_document_is_checked_without_a_server_and_what_is_left_to_one_is_told(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ExitCode.OK == main(["workflow", "validate", "--offline", document.name, "-o", "json"])

    out, err = capsys.readouterr()
    checked = json.loads(out)
    assert [[], ["ask"], ["look"], ["below"]] == [node["depends"] for node in checked["nodes"]]
    assert checked["bounds"]["cost_micro_usd"] is None
    for left in ("mcp:github/search", "workflows (other)", "openai/small", "approvers (ada)"):
        assert left in err
    assert "say@2" not in err


@pytest.mark.parametrize("command", ["validate", "graph"])
def test_a_document_is_checked_here_when_no_server_answers(
    document: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with AnsweringServer() as gone:
        url = gone.url

    assert ExitCode.OK == main(["--api-url", url, "workflow", command, document.name])

    assert f"No server answers at {url}" in capsys.readouterr().err


def test_everything_that_is_wrong_is_told_without_a_server(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = DOCUMENT.replace("{text: inputs.lang}", "{tekst: 2026-03-01}")
    document.write_text(wrong + "- {id: f, type: function, config: {function_name: text_spliter}}\n")

    assert ExitCode.ERROR == main(["workflow", "validate", "--offline", document.name])

    err = capsys.readouterr().err
    for told in ("'say@2' uses 'text'", "'say@2' has no variable 'tekst'", "a date", "did you mean 'text_splitter'?"):
        assert told in err
    assert "line 4, $.nodes[0].config.inputs.tekst" in err


def test_prompts_may_lie_in_another_folder_and_versions_beyond_them_are_left_to_a_server(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (document.parent / "prompts").rename(document.parent / "elsewhere")
    document.write_text(DOCUMENT.replace("say@2", "say@3"))

    assert ExitCode.OK == main(["workflow", "validate", "--offline", "--prompts", "elsewhere", document.name])

    assert "prompts that are not in the files (say@3)" in capsys.readouterr().err


def test_a_server_that_answers_is_asked(
    server: AnsweringServer, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refuse("/api/v1/workflows/validate", 422, code="spec.invalid", detail="the server says no")

    assert ExitCode.ERROR == main(["workflow", "validate", document.name])

    assert "the server says no" in capsys.readouterr().err


def test_only_documents_are_drawn_without_a_server(document: Path) -> None:
    assert document.is_file()
    assert ExitCode.USAGE == main(["workflow", "graph", "--offline", "letters"])
