import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from agentflow.settings import Settings
from observability.telemetry.logging import REDACTED, configure_logging, get_logger


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert not out
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_line_of_json_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))

    with structlog.contextvars.bound_contextvars(run_id="run_1"):
        get_logger("cas.router").info("budget.reserved", budget_id="b_1")

    (event,) = _events(capsys)
    assert event.pop("timestamp")
    assert event == {
        "event": "budget.reserved",
        "level": "info",
        "logger": "cas.router",
        "budget_id": "b_1",
        "run_id": "run_1",
    }


_SECRET_KEYS = [
    "api_key",
    "openai_api_key",
    "X-Api-Key",
    "Authorization",
    "db_password",
    "token",
    "sessionToken",
    "client_secret",
    "vault_key",
    "Set-Cookie",
    "private_key",
    "aws_credentials",
]


@pytest.mark.parametrize("key", _SECRET_KEYS)
def test_values_of_secret_keys_are_not_written(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))

    get_logger("tests").info(
        "call.sent", request={"headers": [{key: "hush"}], "pair": ({key: "hush"},)}, **{key: "hush"}
    )

    (event,) = _events(capsys)
    assert "hush" not in json.dumps(event)
    assert event[key] == REDACTED


@pytest.mark.parametrize("key", ["input_tokens", "max_tokens", "token_type", "author", "keyboard", "passage"])
def test_values_of_ordinary_keys_are_written(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))

    get_logger("tests").info("call.sent", **{key: 12})

    (event,) = _events(capsys)
    assert event[key] == 12


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("logger_of", [get_logger, logging.getLogger])
def test_a_traceback_shows_no_local_variables(
    log_format: str, logger_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Settings.model_validate({"log_format": log_format}))
    prompt = "the patient said so"

    try:
        int(prompt[:0])
    except ValueError:
        logger_of("tests").exception("step.failed")

    written = capsys.readouterr().err
    assert "Traceback" in written
    assert "patient" not in written


def test_our_debug_events_follow_the_setting_and_the_libraries_stay_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json", log_level="DEBUG"))

    get_logger("tests").debug("cache.missed")
    logging.getLogger("openai._base_client").debug("Request options: the prompt")
    logging.getLogger("httpx").info("HTTP Request: POST https://example.org")
    logging.getLogger("uvicorn.error").info("started")

    assert [event["event"] for event in _events(capsys)] == ["cache.missed", "started"]


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json", log_level="ERROR"))

    get_logger("tests").warning("budget.low")
    logging.getLogger("temporalio").warning("slow")

    assert _events(capsys) == []


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="console"))

    get_logger("tests").info("worker.started", task_queue="llm", api_key="hush")
    logging.getLogger("temporalio").warning("slow")

    written = capsys.readouterr().err
    assert "worker.started" in written
    assert "task_queue=llm" in written
    assert "slow" in written
    assert "hush" not in written
