import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.cli.run_documents import node_document, run_document
from tests.unit.cli.test_approval import APPROVAL, APPROVALS

RUN = "/api/v1/workflows/runs/run_1"


def test_who_waits_for_a_run_is_told_once_what_the_run_waits_for_and_how_it_is_decided(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_document("ask", type="approval", kind="approval", state="running")
    asking = run_document(node, waiting=["gate_1"])
    server.answer(RUN, run_document(node), asking, asking, asking, run_document(state="succeeded"))
    server.answer(APPROVALS, {"items": [], "next_cursor": None}, {"items": [APPROVAL], "next_cursor": None})

    assert ExitCode.OK == main(["workflow", "watch", "run_1"])

    told = capsys.readouterr().err
    assert 1 == told.count("ask waits for a decision: Send it?")
    assert "agentctl approval approve gate_1" in told
    assert "\x1b" not in told
    # Nothing more was asked once it was told.
    assert 2 == sum(asked.path == APPROVALS for asked in server.asked)


def test_a_step_in_doubt_is_told_with_how_it_is_resolved(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = run_document(node_document("ask", state="running", in_doubt=1), waiting=["gate_1"])
    server.answer(RUN, doubtful, run_document(state="succeeded"))
    server.answer(APPROVALS, {"items": [{**APPROVAL, "kind": "in_doubt"}], "next_cursor": None})

    assert ExitCode.OK == main(["workflow", "watch", "run_1"])

    told = capsys.readouterr().err
    assert "ask is in doubt" in told
    assert "agentctl approval resolve gate_1 --performed" in told


def test_a_run_goes_on_being_followed_when_its_approvals_cannot_be_listed(server: AnsweringServer) -> None:
    asking = run_document(node_document("ask", type="approval", kind="approval", state="running"), waiting=["gate_1"])
    server.answer(RUN, asking, run_document(state="succeeded"))
    server.refuse(APPROVALS, 500, code="http.500", detail="no")

    assert ExitCode.OK == main(["workflow", "watch", "run_1"])
