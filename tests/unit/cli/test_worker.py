import pytest

from cli.exit_codes import ExitCode
from cli.main import main


@pytest.mark.parametrize("arguments", [["list"], ["drain-status"], ["promote", "one"]])
def test_a_deployment_that_nobody_names_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.delenv("WORKER_DEPLOYMENT", raising=False)

    assert ExitCode.USAGE == main(["worker", *arguments])
    assert "set WORKER_DEPLOYMENT" in capsys.readouterr().err
