"""JSON of a caller's own shape, bounded at the edge: what is taken in can be stored, and can be shown again."""

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

#: pydantic writes at most 255 levels, and what a workflow wraps around its inputs comes on top of these.
MAX_JSON_DEPTH = 64


def _check(document: Any) -> Any:
    # What JSON was read to has these very types; it may be tens of thousands of values.
    level: list[Any] = [[document]]
    depth = 0
    while level:
        if depth > MAX_JSON_DEPTH:
            raise PydanticCustomError(
                "json_too_deep", "JSON may nest at most {levels} levels", {"levels": MAX_JSON_DEPTH}
            )
        following: list[Any] = []
        for container in level:
            parts = container
            if isinstance(container, dict):
                parts = container.values()
                for key in container:
                    _check_text(key)
            for part in parts:
                kind = type(part)
                if kind is str:
                    _check_text(part)
                elif kind is dict or kind is list:
                    following.append(part)
        level, depth = following, depth + 1
    return document


def _check_text(text: str) -> None:
    # `isascii` only looks at a flag; encoding is what finds half a surrogate pair fastest.
    if "\x00" in text or not (text.isascii() or _can_be_encoded(text)):
        raise PydanticCustomError(
            "unstorable_text", "a text in it has a NUL character or a lone surrogate; leave it out"
        )


#: An object whose texts PostgreSQL can hold and UTF-8 can say, of bounded depth.
JsonObject = Annotated[dict[str, Any], AfterValidator(_check)]


#: Any JSON, under the same bounds.
StorableJson = Annotated[Any, AfterValidator(_check)]


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_one(text: str) -> str:
    _check_text(text)
    return text


#: A text that PostgreSQL can hold and UTF-8 can say.
StorableText = Annotated[str, AfterValidator(_check_one)]
