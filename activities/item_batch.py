"""A batch of a map's items in one go: pure, so that it can be timed, tested, and run in a thread.

Each item is resolved, checked, computed and checked again as if it were a step of its own, and what cannot be done
is the item's failure and nobody else's.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activities.arguments import evaluate
from activities.functions.function import Function
from agentflow.digest import canonical_json, sha256_hex
from agentflow.errors import AgentflowError
from agentflow.storable_text import storable_text
from runs.expressions import DIALECT
from runs.models import ItemRecord, StepState
from runs.plan import PlanNode
from scl.schema_validation import SchemaCheck

MAX_ERROR_CHARACTERS = 2_000
#: Outputs up to this size stand in the item's own row.
INLINE_OUTPUT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDone:
    """An item's record, and its output as bytes when that is to be a blob."""

    record: ItemRecord
    blob: bytes | None = None


class ItemBatch:
    """Works through the items of one batch, from where it stopped before."""

    def __init__(
        self,
        node: PlanNode,
        function: Function,
        scope: Mapping[str, Any],
        items: Sequence[tuple[int, Any]],
        *,
        dialect: int = DIALECT,
    ) -> None:
        """`items` are the indices and values that are to be done; `scope` is what all of them see."""
        self._node, self._function, self._items, self._dialect = node, function, items, dialect
        self._scope = dict(scope)
        self._given = _checked(function.signature.input_schema, f"input of item of {node.node_id!r}")
        self._made = _checked(function.signature.output_schema, f"output of item of {node.node_id!r}")
        self._at = 0

    def is_done(self) -> bool:
        """Whether every item has been worked on."""
        return self._at >= len(self._items)

    def work(self, seconds: float) -> list[ItemDone]:
        """What was done until about `seconds` were over; at least one item where there is one."""
        deadline = time.monotonic() + seconds
        return list(self._until(deadline))

    def _until(self, deadline: float) -> Iterator[ItemDone]:
        while not self.is_done():
            index, item = self._items[self._at]
            self._at += 1
            yield self._one(index, item)
            if time.monotonic() > deadline:
                return

    def _one(self, index: int, item: Any) -> ItemDone:
        self._scope["item"], self._scope["index"] = item, index
        try:
            arguments = evaluate(self._node.leaf.arguments, self._scope, dialect=self._dialect)
            self._given(arguments)
            output = self._function.call(arguments)
            self._made(output)
        except AgentflowError as error:
            return ItemDone(
                record=ItemRecord(
                    item_index=index,
                    state=StepState.FAILED,
                    error_code=error.code,
                    error_message=storable_text(str(error)[:MAX_ERROR_CHARACTERS]),
                )
            )
        return _succeeded(index, canonical_json(output))


def _succeeded(index: int, content: bytes) -> ItemDone:
    text = _as_text(content) if len(content) <= INLINE_OUTPUT_BYTES else None
    if text is not None:
        return ItemDone(record=ItemRecord(item_index=index, state=StepState.COMMITTED, output=text))
    record = ItemRecord(item_index=index, state=StepState.COMMITTED, output_digest=sha256_hex(content))
    return ItemDone(record=record, blob=content)


def _as_text(content: bytes) -> str | None:
    """The content as text; None when it has halves of surrogate pairs, which no text column takes."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _checked(schema: Mapping[str, Any] | None, where: str) -> Callable[[Any], None]:
    if schema is None:
        return lambda _value: None
    check = SchemaCheck(schema).check
    return lambda value: check(value, where=where)
