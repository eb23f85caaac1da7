import json
from pathlib import Path
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.cli.run_documents import node_document, run_document

WORKFLOWS = "/api/v1/workflows"
#: As a server of an earlier version answers.
COMPILED: dict[str, Any] = {
    "name": "analysis",
    "version": 3,
    "nodes": [
        {"id": "fetch", "type": "tool", "depends": [], "target": "s3.fetch"},
        {"id": "show", "type": "function", "depends": ["fetch"], "target": "json_projection"},
    ],
    "inputs_schema": None,
}


def test_a_file_is_compiled_by_the_server_and_drawn(
    server: AnsweringServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "analysis.yaml").write_text("name: analysis")
    server.answer(f"{WORKFLOWS}/validate", COMPILED)

    assert ExitCode.OK == main(["workflow", "graph", "analysis.yaml"])

    assert [b"name: analysis"] == [asked.body for asked in server.asked]
    expected = "analysis version 3: 2 nodes, 1 edge, 2 layers\n\n●  fetch  tool s3.fetch\n│\n"
    assert f"{expected}●  show   function json_projection\n" == capsys.readouterr().out


@pytest.mark.parametrize(("source", "query"), [("analysis", ""), ("analysis@2", "version=2")])
def test_what_is_no_file_is_a_registered_workflow(server: AnsweringServer, source: str, query: str) -> None:
    server.answer(f"{WORKFLOWS}/analysis", COMPILED)

    assert ExitCode.OK == main(["workflow", "graph", source])
    assert [(f"{WORKFLOWS}/analysis", query)] == [(asked.path, asked.query) for asked in server.asked]


def test_json_has_nodes_edges_layers_and_the_states_of_a_run(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(f"{WORKFLOWS}/runs/run_1/graph", COMPILED)
    nodes = [node_document("fetch", state="succeeded"), node_document("show", state="running")]
    server.answer(f"{WORKFLOWS}/runs/run_1", run_document(*nodes))

    assert ExitCode.OK == main(["workflow", "graph", "--run", "run_1", "--format", "json"])

    drawn = json.loads(capsys.readouterr().out)
    assert ["succeeded", "running"] == [node["state"] for node in drawn["nodes"]]
    assert [{"from": "fetch", "to": "show"}] == drawn["edges"]
    assert [["fetch"], ["show"]] == drawn["layers"]


def test_a_drawing_goes_into_a_file(server: AnsweringServer, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(f"{WORKFLOWS}/analysis", COMPILED)

    assert ExitCode.OK == main(["workflow", "graph", "analysis", "--format", "svg", "-o", "graph.svg"])

    assert "" == capsys.readouterr().out
    assert (home / "graph.svg").read_text(encoding="utf-8").endswith("</svg>\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a document"),
        (["analysis", "--run", "run_1"], "name a document"),
        (["missing.yaml"], "there is no file"),
        (["folder/missing"], "there is no file"),
        (["analysis@latest"], "a version is a number"),
        (["analysis@"], "a version is a number"),
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert ExitCode.USAGE == main(["workflow", "graph", *arguments])
    assert message in capsys.readouterr().err
    assert [] == server.asked


def test_a_file_that_cannot_be_written_is_told(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(f"{WORKFLOWS}/analysis", COMPILED)

    assert ExitCode.USAGE == main(["workflow", "graph", "analysis", "-o", "nowhere/graph.svg"])
    assert "nowhere/graph.svg cannot be written" in capsys.readouterr().err
