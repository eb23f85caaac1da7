"""Walks through the text of a JSON value, without recursion: nesting depth is the sender's choice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.digest import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonText:
    """Every string of a JSON value."""

    values: tuple[str, ...]
    #: The names of object members, which only detection reads.
    keys: tuple[str, ...]


def collect_text(value: Json) -> JsonText:
    """Every string of `value`; strings that are values apart from names of members."""
    values: list[str] = []
    keys: list[str] = []
    pending: list[Json] = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            values.append(part)
        elif isinstance(part, Mapping):
            keys.extend(part)
            pending.extend(part.values())
        elif isinstance(part, list | tuple):
            pending.extend(part)
    return JsonText(values=tuple(values), keys=tuple(keys))


def map_strings(value: Json, transform: Callable[[str], str]) -> Json:
    """A copy of `value` with `transform` applied to every string that is a value; names of members stay."""
    # The copies are filled in place; their members are JSON by construction, which mypy cannot follow.
    root: list[Any] = [value]
    pending: list[dict[str, Any] | list[Any]] = [root]
    while pending:
        container = pending.pop()
        members: Any = container.items() if isinstance(container, dict) else enumerate(container)
        for key, member in members:
            if isinstance(member, str):
                container[key] = transform(member)
            elif isinstance(member, Mapping | list | tuple):
                copy: dict[str, Any] | list[Any] = dict(member) if isinstance(member, Mapping) else list(member)
                container[key] = copy
                pending.append(copy)
    result: Json = root[0]
    return result
