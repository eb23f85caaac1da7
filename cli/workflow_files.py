"""What the command line reads: workflow documents, and run inputs as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import click

_BYTE_ORDER_MARK = "\ufeff"


def read_document(file: Path) -> str:
    """The text of a document; `-` is standard input."""
    if str(file) == "-":
        return sys.stdin.read().removeprefix(_BYTE_ORDER_MARK)
    return file.read_text(encoding="utf-8", errors="surrogateescape").removeprefix(_BYTE_ORDER_MARK)


def read_inputs(text: str, *, option: str = "--inputs") -> dict[str, Any]:
    """The JSON object that an option gives, as it is or as @FILE; raises UsageError."""
    inputs = _parse(_file_text(text[1:], option) if text.startswith("@") else text, option)
    if not isinstance(inputs, dict):
        raise click.UsageError(f'{option} must be a JSON object, such as {{"document_key": "sample.pdf"}}')
    return inputs


def read_json_file(name: str, *, option: str) -> Any:
    """The JSON of a file, of whatever type; `-` is standard input; raises UsageError."""
    return _parse(sys.stdin.read() if name == "-" else _file_text(name, option), option)


def _file_text(name: str, option: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{option} names {name!r}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"{option} names {name!r}, which is not UTF-8 (byte {error.start}); save it as that"
        ) from error


def _parse(text: str, option: str) -> Any:
    try:
        # Some editors begin a file with a byte order mark, which is no part of its text.
        value = json.loads(text.removeprefix(_BYTE_ORDER_MARK))
        # Python reads more than JSON can say (NaN, 1e999, half a surrogate pair): what cannot be sent is refused here.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{option} is not JSON: {error}") from error
    return value
