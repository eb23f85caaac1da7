import json
from pathlib import Path
from typing import Any

import pytest
from click import UsageError
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.exit_codes import ExitCode
from cli.main import agentctl, main
from cli.workflow_files import read_inputs
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.cli.run_documents import node_document, run_document
from tests.unit.json_values import JSON_VALUES, TEXTS

RUNS = "/api/v1/workflows/runs"
REGISTERED = {
    "name": "analysis",
    "version": 3,
    "digest": "0" * 64,
    "created_at": "2026-01-02T03:04:05Z",
    "document": "name: analysis",
    "nodes": [{"id": "fetch", "type": "tool", "depends": [], "target": "s3.fetch"}],
    "inputs_schema": None,
}


@given(st.dictionaries(TEXTS, JSON_VALUES))
def test_inputs_are_the_json_object_that_is_written(inputs: dict[str, Any]) -> None:
    assert inputs == read_inputs(json.dumps(inputs))
    assert inputs == read_inputs(json.dumps(inputs, ensure_ascii=False))


def test_inputs_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "inputs.json").write_text('{"name": "größe"}', encoding="utf-8")

    assert {"name": "größe"} == read_inputs(f"@{tmp_path / 'inputs.json'}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "name=value",
        "{'name': 1}",
        '{"a": 1} trailing',
        "[1]",
        '"text"',
        "null",
        "3",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": [1e999]}',
        '{"a": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_inputs_that_are_no_json_object_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"--inputs (is not|must be a) JSON"):
        read_inputs(text)


@pytest.mark.parametrize("name", ["missing.json", "", ".", "latin-1.json", "binary"])
def test_a_file_of_inputs_that_cannot_be_read_is_a_usage_error(home: Path, name: str) -> None:
    (home / "latin-1.json").write_bytes(b'{"name": "gr\xf6\xdfe"}')
    (home / "binary").write_bytes(bytes(range(256)))

    with pytest.raises(UsageError, match="--inputs"):
        read_inputs(f"@{name}")


@pytest.mark.parametrize("arguments", [["--inputs", "{"], ["--inputs", "@missing.json"], ["--inputs", '{"a": NaN}']])
def test_nothing_is_submitted_with_inputs_that_cannot_be_read(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ExitCode.USAGE == main(["workflow", "submit", "analysis", *arguments])
    assert [] == server.asked
    assert "--inputs" in capsys.readouterr().err


def test_submit_sends_what_it_is_told_and_prints_the_runs_id_alone(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(RUNS, run_document(), status=202)
    options = ["--inputs", '{"document_key": "a.pdf"}', "--budget", "1000", "--version", "2"]

    assert ExitCode.OK == main(["workflow", "submit", "analysis", *options])

    expected = {
        "workflow_name": "analysis",
        "workflow_version": 2,
        "inputs": {"document_key": "a.pdf"},
        "budget_cents": 1000,
    }
    assert [expected] == [json.loads(asked.body) for asked in server.asked]
    out, err = capsys.readouterr()
    assert "run_1\n" == out
    assert "agentctl workflow watch run_1" in err


def test_a_document_is_registered_before_its_version_is_submitted(server: AnsweringServer, home: Path) -> None:
    (home / "analysis.yaml").write_bytes(b"name: analysis # \xff")
    server.answer("/api/v1/workflows", REGISTERED, status=201)
    server.answer(RUNS, run_document(), status=202)

    assert ExitCode.OK == main(["workflow", "submit", "--file", "analysis.yaml"])

    assert ["/api/v1/workflows", RUNS] == [asked.path for asked in server.asked]
    assert b"name: analysis # \xff" == server.asked[0].body
    assert ("analysis", 3) == tuple(
        json.loads(server.asked[1].body)[key] for key in ("workflow_name", "workflow_version")
    )


def test_a_document_of_another_name_is_not_run(
    server: AnsweringServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "analysis.yaml").write_text("name: analysis", encoding="utf-8")
    server.answer("/api/v1/workflows", REGISTERED, status=201)

    assert ExitCode.USAGE == main(["workflow", "submit", "other", "-f", "analysis.yaml"])

    assert ["/api/v1/workflows"] == [asked.path for asked in server.asked]
    assert "holds the workflow 'analysis', not 'other'" in capsys.readouterr().err


def test_a_document_may_come_on_standard_input(server: AnsweringServer) -> None:
    bounds = {
        "steps": 100_003,
        "workflows": 201,
        "events": 3_012,
        "history_bytes": 1_400_000,
        "pending": 9,
        "model_calls": 400_000,
        "cost_micro_usd": 1_250_000_000,
        "nodes": [{"id": "each", "steps": 100_001, "workflows": 200, "strategy": "sharded"}],
    }
    server.answer("/api/v1/workflows/validate", {**REGISTERED, "bounds": bounds})

    result = CliRunner().invoke(agentctl, ["workflow", "validate", "-"], input="name: analysis")

    assert 0 == result.exit_code
    assert b"name: analysis" == server.asked[0].body
    expected = [
        "Workflow  analysis version 3",
        "",
        "NODE   TYPE  DOES      AFTER",
        "fetch  tool  s3.fetch",
        "",
        "At most          100,003 steps in 201 workflows",
        "Longest history  3,012 events, 1.4 MB",
        "Under way        9 in one workflow",
        "Model calls      400,000, $1250.00",
        "Maps             each sharded (100,001 steps)",
    ]
    assert expected == result.stdout.splitlines()


@pytest.mark.parametrize(
    ("state", "code"),
    [("succeeded", ExitCode.OK), ("failed", ExitCode.RUN_FAILED), ("cancelled", ExitCode.CANCELLED)],
)
def test_the_code_of_watch_says_how_the_run_ended(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], state: str, code: ExitCode
) -> None:
    node = node_document("fetch", state=state)
    server.answer(f"{RUNS}/run_1", run_document(node, state=state, outputs={"text": "a\x1b[2J", "n": [1]}))

    assert code == main(["workflow", "watch", "run_1"])

    out, err = capsys.readouterr()
    assert [f"{state:<9}  fetch (function)"] == err.splitlines()
    assert out.startswith("Run       run_1\n")
    assert out.endswith("\n\ntext:\na?[2J\nn:\n[\n  1\n]\n")


def test_a_run_that_outlasts_the_patience_of_watch_is_left_to_go_on(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(f"{RUNS}/run_1", run_document())

    assert ExitCode.CANCELLED == main(["workflow", "watch", "run_1", "--timeout", "0.0001"])

    out, err = capsys.readouterr()
    assert "it goes on" in err
    assert not out


def test_list_shows_workflows_and_with_an_option_about_runs_their_runs(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer("/api/v1/workflows", {"items": [REGISTERED], "next_cursor": "c_2"})
    server.answer(RUNS, {"items": [run_document(cost_micro_usd=1_500)], "next_cursor": None})

    main(["workflow", "list"])
    workflows, hint = capsys.readouterr()
    main(["workflow", "list", "--state", "running", "--limit", "7"])
    runs, no_hint = capsys.readouterr()

    assert ["NAME", "analysis"] == [line.split()[0] for line in workflows.splitlines()]
    assert "--cursor c_2" in hint
    assert ["run_1", "analysis@2", "running"] == runs.splitlines()[1].split()[:3]
    assert runs.endswith("$0.0015\n")
    assert not no_hint
    assert "state=running&limit=7" == server.asked[1].query


def test_ids_from_the_command_line_stay_one_segment_of_the_path(server: AnsweringServer) -> None:
    assert ExitCode.ERROR == main(["workflow", "status", "../budgets?x"])
    assert f"{RUNS}/..%2Fbudgets%3Fx" == server.asked[0].path


def test_cancel_says_how_the_run_stands(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(f"{RUNS}/run_1/cancel", run_document(), status=202)

    assert ExitCode.OK == main(["workflow", "cancel", "run_1"])
    assert "POST" == server.asked[0].method
    assert "run_1 is asked to stop; it is running\n" == capsys.readouterr().out


def test_registering_tells_the_command_that_runs_it_with_what_it_needs(
    server: AnsweringServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "analysis.yaml").write_text("name: analysis")
    schema = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    server.answer("/api/v1/workflows", {**REGISTERED, "inputs_schema": schema}, status=201)

    assert ExitCode.OK == main(["workflow", "register", "analysis.yaml"])

    # Without its version, a later one would run.
    assert """agentctl workflow submit analysis --version 3 --inputs '{"key": "…"}' --wait""" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_part_of_inputs_or_documents(server: AnsweringServer, home: Path) -> None:
    (home / "inputs.json").write_bytes(b'\xef\xbb\xbf{"key": "a"}')
    (home / "analysis.yaml").write_bytes(b"\xef\xbb\xbfname: analysis")
    server.answer("/api/v1/workflows", REGISTERED, status=201)

    assert ExitCode.OK == main(["workflow", "register", "analysis.yaml"])

    assert {"key": "a"} == read_inputs(f"@{home / 'inputs.json'}")
    assert b"name: analysis" == server.asked[0].body
