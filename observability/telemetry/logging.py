"""Structured logs on standard error: constant events with fields, secrets taken out before anything is written."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from agentflow.settings import Settings

REDACTED = "[redacted]"

#: Matches `openai_api_key`, `X-Api-Key`, `Authorization`, `vault_key`, `sessionToken`; not `input_tokens`.
_SECRET_KEY = re.compile(
    r"api[-_ ]?key|authorization|password|passwd|passphrase|secret|vault|credential|cookie|private[-_ ]?key|token$",
    re.IGNORECASE,
)
#: At INFO these tell every request with its URL.
_CHATTY_LOGGERS = ("httpx", "httpcore", "urllib3", "LiteLLM")


def configure_logging(settings: Settings) -> None:
    """Makes all logs of this process, ours and the libraries', go to standard error in the settings' format.

    Libraries are heard from INFO up, whatever `log_level` says: at DEBUG the vendors' SDKs write whole prompts.
    """
    level = logging.getLevelNamesMapping()[settings.log_level]
    render = _renderers(settings)
    stamps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.processors.add_log_level, _name_logger, *stamps, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # It reports each failed attempt with its traceback; ours is one line with the error's code.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that says `name` (the module's) with each event; configured at its first use, not here."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


def redact_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replaces the value of each key that looks like a secret's, in nested mappings and lists too."""
    return cast("EventDict", _redacted_mapping(event))


def _name_logger(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Our loggers' names under the key that the libraries' have; structlog keeps that key for itself until here."""
    event["logger"] = event.pop("logger_name", None)
    return event


def _renderers(settings: Settings) -> list[Processor]:
    """Tracebacks without local variables, which may hold prompts and secrets; then redaction; then text."""
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, redact_secrets, structlog.processors.JSONRenderer()]
    plain = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    return [redact_secrets, plain]


def _redacted_mapping(mapping: Mapping[Any, Any]) -> MutableMapping[Any, Any]:
    return {
        key: REDACTED if isinstance(key, str) and _SECRET_KEY.search(key) else _redacted(value)
        for key, value in mapping.items()
    }


def _redacted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _redacted_mapping(value)
    if isinstance(value, list | tuple):
        items = [_redacted(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value
