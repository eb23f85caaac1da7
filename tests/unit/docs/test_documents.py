"""What pages show of documents compiles, and what they show of requests is what the API takes."""

import re
import shlex
from textwrap import indent
from typing import Any

import pytest
import yaml

from activities.tools.tool import Tool
from agentflow.client import AgentflowClient
from api.schemas.runs import RunSubmission
from cli.main import main
from runs.effects import EffectClass
from tests.unit.docs.pages import PAGES, ROOT, Block, blocks
from workflows.dag_document import parse_document
from workflows.errors import SpecInvalid
from workflows.offline_compilation import compile_offline

#: What a node by itself cannot know: the rest of its document, and what is registered on a server.
ABOUT_OTHERS = {"unknown_node", "unknown_reference", "unknown_prompt", "unknown_workflow", "unknown_variable"}
_OF_DOCUMENTS = re.compile(r"^[-\s]*(\{?id|type|nodes|prompt_ref|tool_name|each|over):", re.MULTILINE)


def shown() -> list[Block]:
    found = [block for page in PAGES for block in blocks(page) if _OF_DOCUMENTS.search(block.text)]
    assert len(found) >= 6
    return [block for block in found if not block.is_fragment and "template:" not in block.text]


def as_document(block: Block) -> str:
    """What a block shows, in a document around it."""
    shape = yaml.safe_load(block.text)
    if isinstance(shape, dict) and "nodes" in shape:
        return block.text
    if isinstance(shape, list):
        return f"name: shown\nnodes:\n{block.text}"
    if "config" in shape:
        return f"name: shown\nnodes:\n- id: shown\n  type: tool\n{indent(block.text, '  ')}"
    (name,) = shape
    config = "".join(block.text.splitlines(keepends=True)[1:])
    return f"name: shown\nnodes:\n- id: {name}\n  type: map\n  config:\n{indent(config, '  ')}"


@pytest.mark.parametrize("block", shown(), ids=str)
def test_every_document_and_node_that_is_shown_compiles(block: Block) -> None:
    problems: list[str] = []
    try:
        compile_offline(parse_document(as_document(block)), [])
    except SpecInvalid as invalid:
        problems = [f"{problem.code}: {problem}" for problem in invalid.problems if problem.code not in ABOUT_OTHERS]

    assert [] == problems


def test_a_wrong_field_in_a_shown_node_is_found() -> None:
    block = Block(page=ROOT / "README.md", line=1, text="- {id: a, type: wait, config: {fro: 1s}}\n", is_fragment=False)

    with pytest.raises(SpecInvalid, match="fro"):
        compile_offline(parse_document(as_document(block)), [])


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in ROOT.glob("examples/*/workflow.yaml")))
def test_every_example_is_valid_for_the_command_that_checks_documents(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["workflow", "validate", str(ROOT / "examples" / folder / "workflow.yaml"), "--offline"])

    assert 0 == code, capsys.readouterr().err


def test_the_body_of_the_request_that_the_readme_shows_is_what_the_api_takes() -> None:
    (request,) = [
        shlex.split(block.text) for block in blocks(ROOT / "README.md") if block.text.startswith("curl -X POST")
    ]

    submission = RunSubmission.model_validate_json(request[request.index("-d") + 1])
    assert ("document_analysis", 1) == (submission.workflow_name, submission.workflow_version)


def test_the_python_that_the_readme_shows_uses_what_the_client_has() -> None:
    (program,) = [block.text for block in blocks(ROOT / "README.md") if "AgentflowClient(" in block.text]

    compile(program, "README.md", "exec")
    used = re.findall(r"\bclient\.(\w+)\(", program)
    assert ["submit_run", "wait"] == used
    assert all(hasattr(AgentflowClient, name) for name in used)


def test_the_tool_that_the_page_on_tools_shows_is_one() -> None:
    (block,) = [block for block in blocks(ROOT / "docs" / "tools.md") if "TOOLS = [" in block.text]
    program = block.text[block.text.index("from activities") :]
    shown: dict[str, Any] = {}

    exec(compile(program, str(block), "exec"), shown)  # our own page

    (tool,) = shown["TOOLS"]
    assert isinstance(tool, Tool)
    assert ("acme.pay", EffectClass.PROBE, shown["look"]) == (tool.signature.name, tool.effect, tool.probe)
