"""JSON of a caller's own shape, bounded at the edge: what is taken in can be stored, and can be shown again."""

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

#: pydantic writes at most 255 levels, and what a workflow wraps around its inputs comes on top of these.
MAX_JSON_DEPTH = 64


def _check(document: Any) -> Any:
    level: list[Any] = [[document]]
    depth = 0
    while level:
        if depth > MAX_JSON_DEPTH:
            raise PydanticCustomError(
                "json_too_deep", "JSON may nest at most {levels} levels", {"levels": MAX_JSON_DEPTH}
            )
        following: list[Any] = []
        for container in level:
            for part in container if isinstance(container, list) else (*container, *container.values()):
                if isinstance(part, str):
                    _check_text(part)
                elif isinstance(part, dict | list):
                    following.append(part)
        level, depth = following, depth + 1
    return document


def _check_text(text: str) -> None:
    # `isascii` is a flag of the text's; encoding is what finds half a surrogate pair fastest.
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
