import pytest

from cli.exit_codes import ExitCode
from cli.main import main


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["llm"], "give --rate, --key-rate, or both"),
        (["llm", "--rate", "0"], "more than 0"),
        (["llm", "--rate", "nan"], "more than 0"),
        (["llm", "--key-rate", "fast"], "'fast' is no rate"),
        (["lmm", "--rate", "1"], "name one of runs, llm"),
        (["llm,tools", "--rate", "1"], "name one of runs, llm"),
    ],
)
def test_a_rate_or_a_queue_that_cannot_be_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert ExitCode.USAGE == main(["queue", "set", *arguments])
    assert reason in capsys.readouterr().err


def test_a_server_that_is_away_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    assert ExitCode.ERROR == main(["queue", "list"])
    assert "no Temporal server answers at '127.0.0.1:1'" in capsys.readouterr().err
