"""Pages: a bounded list and an opaque cursor for the next one."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from runs.errors import CursorInvalid

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

Limit = Annotated[int, Query(ge=1, le=200, description="The most items that the page may have.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[_Item]):
    """A page of a list."""

    items: list[_Item]
    next_cursor: str | None = Field(default=None, description="Give it as `cursor` for the next page; null at the end.")


def page_of(
    found: Sequence[_Found], limit: int, *, item: Callable[[_Found], _Item], key: Callable[[_Found], str]
) -> Page[_Item]:
    """The page of the first `limit` of what was found; a query asks for one more, to know whether there is a next."""
    following = encode_cursor(key(found[limit - 1])) if len(found) > limit else None
    return Page(items=[item(each) for each in found[:limit]], next_cursor=following)


def encode_cursor(key: str) -> str:
    """An opaque form of the last item's key."""
    return base64.urlsafe_b64encode(f"1:{key}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """The key in a cursor; raises CursorInvalid for what this server did not make."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise CursorInvalid from error
    version, separator, key = text.partition(":")
    if version != "1" or not separator or not key.isprintable():
        raise CursorInvalid
    return key
