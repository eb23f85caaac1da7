import json
from pathlib import Path
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer

APPROVALS = "/api/v1/approvals"
APPROVAL: dict[str, Any] = {
    "approval_id": "gate_1",
    "run_id": "run_1",
    "node_id": "ask",
    "item_index": None,
    "kind": "approval",
    "state": "open",
    "message": "Send it?\x1b[2J",
    "subject_digest": "d" * 64,
    "approvers": ["ada"],
    "opened_at": "2026-01-02T03:04:05+00:00",
    "due_at": None,
    "decided_at": None,
    "decided_by": None,
    "comment": None,
}


def test_what_waits_for_a_decision_is_listed(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(APPROVALS, {"items": [APPROVAL], "next_cursor": None})

    assert ExitCode.OK == main(["approval", "list", "--run", "run_1"])

    assert ["limit=50&run_id=run_1&state=open"] == ["&".join(sorted(a.query.split("&"))) for a in server.asked]
    out = capsys.readouterr().out
    assert "gate_1" in out
    assert "\x1b" not in out


def test_an_approval_is_shown_with_its_subject(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(f"{APPROVALS}/gate_1", {**APPROVAL, "show": {"letter": "Dear\x1b[2J"}})

    assert ExitCode.OK == main(["approval", "show", "gate_1"])

    out = capsys.readouterr().out
    assert "Dear" in out
    assert "ada" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("verb", "said"), [("approve", "approved"), ("reject", "rejected")])
def test_a_decision_names_what_there_is_or_what_was_looked_at(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], verb: str, said: str
) -> None:
    server.answer(f"{APPROVALS}/gate_1", {**APPROVAL, "show": {}})
    server.answer(f"{APPROVALS}/gate_1/decision", {**APPROVAL, "state": said})

    assert ExitCode.OK == main(["approval", verb, "gate_1", "--comment", "so be it"])
    assert ExitCode.OK == main(["approval", verb, "gate_1", "--digest", "e" * 64])

    bodies = [json.loads(asked.body) for asked in server.asked if asked.method == "POST"]
    assert [
        {"decision": verb, "subject_digest": "d" * 64, "comment": "so be it"},
        {"decision": verb, "subject_digest": "e" * 64, "comment": None},
    ] == bodies
    assert f"gate_1 is {said}" in capsys.readouterr().out


def test_an_event_is_delivered_with_what_comes_with_it(server: AnsweringServer) -> None:
    server.answer("/api/v1/workflows/runs/run_1/events/paid%2042", {"run_id": "run_1", "event_key": "paid 42"})

    assert ExitCode.OK == main(["workflow", "event", "run_1", "paid 42", "--payload", '{"cents": 5}'])

    assert [{"payload": {"cents": 5}}] == [json.loads(asked.body) for asked in server.asked]
    assert ExitCode.USAGE == main(["workflow", "event", "run_1", "paid", "--payload", "5"])


@pytest.mark.parametrize(
    ("option", "resolution", "said"),
    [
        ("--performed", "performed", "was performed"),
        ("--not-performed", "not_performed", "performed again"),
        ("--fail", "fail", "given up"),
    ],
)
def test_a_step_in_doubt_is_resolved(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], option: str, resolution: str, said: str
) -> None:
    server.answer(f"{APPROVALS}/gate_1", {**APPROVAL, "kind": "in_doubt", "item_index": 3, "show": {}})
    server.answer(f"{APPROVALS}/gate_1/resolution", {**APPROVAL, "kind": "in_doubt"})

    assert ExitCode.OK == main(["approval", "resolve", "gate_1", option, "--comment", "looked"])

    bodies = [json.loads(asked.body) for asked in server.asked if asked.method == "POST"]
    body = {"resolution": resolution, "subject_digest": "d" * 64, "output": None, "comment": "looked"}
    assert [body] == bodies
    assert said in capsys.readouterr().out


def test_the_output_of_a_step_that_was_performed_is_read_from_a_file(server: AnsweringServer, tmp_path: Path) -> None:
    server.answer(f"{APPROVALS}/gate_1/resolution", {**APPROVAL, "kind": "in_doubt"})
    (tmp_path / "output.json").write_text('{"status": 201}')
    wish = ["approval", "resolve", "gate_1", "--performed", "--digest", "e" * 64]

    assert ExitCode.OK == main([*wish, "--output", str(tmp_path / "output.json"), "-o", "json"])
    assert ExitCode.USAGE == main([*wish, "--output", str(tmp_path / "missing.json")])
    (tmp_path / "output.json").write_text("{")
    assert ExitCode.USAGE == main([*wish, "--output", str(tmp_path / "output.json")])

    (asked,) = server.asked
    assert {"status": 201} == json.loads(asked.body)["output"]


@pytest.mark.parametrize("options", [[], ["--fail", "--output", "x.json"]])
def test_a_resolution_that_says_nothing_or_too_much_is_a_mistake_of_use(
    server: AnsweringServer, options: list[str]
) -> None:
    assert ExitCode.USAGE == main(["approval", "resolve", "gate_1", *options])
    assert [] == server.asked
