"""What a tool's own annotations say of a second call.

They are hints of the server's (specification, "Tool annotations"): the operator who configures a server trusts them.
"""

from typing import Protocol

from runs.tool_contract import EffectHint


class Annotations(Protocol):
    """The annotations of `mcp_types` that are looked at."""

    read_only_hint: bool | None
    idempotent_hint: bool | None


def effect_hint(annotations: Annotations | None) -> EffectHint:
    """`pure` for what only reads, `idempotent` for what may be repeated; `at_most_once` where neither is said."""
    if annotations is None:
        return "at_most_once"
    if annotations.read_only_hint:
        return "pure"
    return "idempotent" if annotations.idempotent_hint else "at_most_once"
