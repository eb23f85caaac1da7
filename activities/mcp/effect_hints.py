"""What a tool's own annotations say of a second call.

They are hints of the server's (specification, "Tool annotations"): the operator who configures a server trusts them.
"""

from typing import Protocol

from runs.effects import EffectClass


class Annotations(Protocol):
    """The annotations of `mcp_types` that are looked at."""

    read_only_hint: bool | None
    idempotent_hint: bool | None


def effect_class(annotations: Annotations | None) -> EffectClass:
    """Pure for what only reads, idempotent for what may be repeated; at most once where neither is said."""
    if annotations is None:
        return EffectClass.AT_MOST_ONCE
    if annotations.read_only_hint:
        return EffectClass.PURE
    return EffectClass.IDEMPOTENT if annotations.idempotent_hint else EffectClass.AT_MOST_ONCE
