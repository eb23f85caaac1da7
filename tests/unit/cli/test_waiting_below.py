import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.cli.run_documents import node_document, run_document
from tests.unit.cli.test_approval import APPROVAL, APPROVALS
from tests.unit.cli.test_waiting_gates import RUN

BELOW = {**APPROVAL, "approval_id": "gate_2", "run_id": "run_1-below", "node_id": "sign"}


def test_what_a_run_below_waits_for_is_told_with_that_run_and_each_gate_once(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    node = node_document("sub", type="workflow", kind="workflow", state="running", runs_below=1)
    one, two = run_document(node, waiting=["gate_2"]), run_document(node, waiting=["gate_3"])
    second = {**BELOW, "approval_id": "gate_3", "node_id": "sign_again"}
    server.answer(RUN, one, one, two, two, run_document(state="succeeded"))
    server.answer(APPROVALS, {"items": [BELOW], "next_cursor": None}, {"items": [second], "next_cursor": None})

    assert ExitCode.OK == main(["workflow", "watch", "run_1"])

    told = capsys.readouterr().err
    assert 1 == told.count("in run run_1-below below, sign waits for a decision: Send it?")
    assert "agentctl approval approve gate_2" in told
    assert "agentctl approval approve gate_3" in told
    assert 2 == sum(asked.path == APPROVALS for asked in server.asked)
