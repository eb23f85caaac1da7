"""JSON of a caller's own shape, bounded at the edge: what is taken in can be stored, and can be shown again."""

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

#: pydantic writes at most 255 levels, and what a workflow wraps around its inputs comes on top of these.
MAX_JSON_DEPTH = 64


def _check(document: Any) -> Any:
    pending: list[tuple[Any, int]] = [(document, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth > MAX_JSON_DEPTH:
                raise PydanticCustomError(
                    "json_too_deep", "JSON may nest at most {levels} levels", {"levels": MAX_JSON_DEPTH}
                )
            if isinstance(value, dict):
                pending.extend((key, depth) for key in value)
            pending.extend((item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))
    return document


def _check_text(text: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError(
            "unstorable_text", "a text in it has a NUL character or a lone surrogate; leave it out"
        )


#: An object whose texts PostgreSQL can hold and UTF-8 can say, of bounded depth.
JsonObject = Annotated[dict[str, Any], AfterValidator(_check)]


#: Any JSON, under the same bounds.
StorableJson = Annotated[Any, AfterValidator(_check)]


def _check_one(text: str) -> str:
    _check_text(text)
    return text


#: A text that PostgreSQL can hold and UTF-8 can say.
StorableText = Annotated[str, AfterValidator(_check_one)]
