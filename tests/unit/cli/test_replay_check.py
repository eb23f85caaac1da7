import pytest

from cli.embedded.ports import free_port
from cli.exit_codes import ExitCode
from cli.main import main
from cli.replay_check import report_text
from workflows.replay_gate import ReplayFailure, ReplayReport


def test_what_failed_is_a_table_and_the_rest_is_counted() -> None:
    failure = ReplayFailure(workflow_id="run_1/each.0/0-2", run_id="x", event_id=44, cause="[TMPRL1100] another\x1b")

    expected = """\
WORKFLOW ID       EVENT  CAUSE
run_1/each.0/0-2  44     [TMPRL1100] another?

12 histories replayed, 1 failed; 2 were gone before they could be read."""
    assert expected == report_text(ReplayReport(replayed=12, gone=2, failures=[failure]))
    assert "12 histories replayed, 0 failed." == report_text(ReplayReport(replayed=12))


def test_a_server_that_does_not_answer_is_told_with_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)

    assert ExitCode.ERROR == main(["workflow", "replay-check"])
    assert f"no Temporal server answers at '{address}'" in capsys.readouterr().err
