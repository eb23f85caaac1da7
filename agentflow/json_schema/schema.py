"""Checks values against an author's JSON Schema (Draft 2020-12) under a counted bound, patterns in linear time.

A schema of a few lines can ask for years of work: 2^16 ways of `$ref`, `^(a+)+$`, `unevaluatedProperties` in
`unevaluatedProperties`. So every visit of a schema, and whatever a keyword goes through, is paid for before it is done.
`format` is an annotation, as the draft has it. References stay inside the schema and the drafts' own metaschemas.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # ships no type information
from referencing.jsonschema import DRAFT202012, SchemaRegistry

from agentflow.json_schema.checks import Node, Run, SchemaFault, SchemaUnusable
from agentflow.json_schema.keywords import KEYWORDS
from agentflow.json_schema.place import Place
from agentflow.linear_pattern import PatternRefused, linear_pattern
from agentflow.meter import Meter

#: The drafts' metaschemas, which ship with jsonschema; it fetches nothing.
OFFLINE: SchemaRegistry = REGISTRY
#: Keywords whose values are data, in which no schema stands.
_DATA = frozenset({"const", "enum", "default", "examples"})

_UNUSABLE = "a reference in it leads to what is no schema, or its `$id` is no URL"
#: What a check may take: a second's work, and for each part of the value what the longest of schemas take.
_FREE_STEPS = 500_000
_STEPS_A_PART = 100
#: Within this a check is over before anyone else on an event loop notices (about 2 ms).
INLINE_STEPS = 2_000


def refused_patterns(schema: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Path and reason of each pattern that cannot be matched in linear time, or at all, and of each `$dynamicRef`."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while pending:
        path, part = pending.pop()
        if isinstance(part, list):
            pending.extend(((*path, place), item) for place, item in enumerate(part))
        if not isinstance(part, Mapping):
            continue
        if isinstance(part.get("$dynamicRef"), str):
            yield (*path, "$dynamicRef"), "`$dynamicRef` is not supported; write `$ref`"
        patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
        by_pattern = part.get("patternProperties")
        for pattern in (*patterns, *(by_pattern if isinstance(by_pattern, Mapping) else ())):
            try:
                linear_pattern(pattern)
            except PatternRefused as refusal:
                yield (*path, "pattern" if pattern in patterns else "patternProperties"), str(refusal)
        pending.extend(((*path, name), item) for name, item in part.items() if name not in _DATA)


class JsonSchema:
    """A schema made ready to check many values."""

    def __init__(self, schema: Any, *, part: Any = None) -> None:
        """`schema` has a schema's form; with `part`, values are checked by that part of it alone.

        Raises SchemaUnusable for patterns and references that cannot be used.
        """
        try:
            root = DRAFT202012.create_resource(schema)
            resolver = OFFLINE.with_resource(root.id() or "", root).resolver_with_root(root)
            self._root = _Compiler().node(schema if part is None else part, resolver)
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            # It has the form of a schema, and something that it refers to has not; or its `$id` is no URL.
            raise error if isinstance(error, SchemaUnusable) else SchemaUnusable(_UNUSABLE) from None

    def faults(self, value: Any, *, limit: int, steps: int | None = None) -> list[SchemaFault]:
        """What is wrong with `value`, up to `limit` faults, in at most `steps`, or else in proportion to its size.

        Raises OverLimit, RecursionError for endless nesting, and SchemaUnusable where only a value shows it.
        """
        run = Run(Meter(steps=_FREE_STEPS + _STEPS_A_PART * _parts(value) if steps is None else steps), limit)
        try:
            self._root.check(run, value, ())
        except (TypeError, AttributeError, LookupError, ValueError):
            raise SchemaUnusable(_UNUSABLE) from None
        return run.faults


class _Compiler:
    """Makes nodes of schemas, each once: schemas refer to themselves."""

    def __init__(self) -> None:
        self._made: dict[int, Node] = {}

    def node(self, schema: Any, resolver: Any) -> Node:
        if (made := self._made.get(id(schema))) is not None:
            return made
        node = Node(schema)
        if isinstance(schema, bool):
            return node
        if not isinstance(schema, Mapping):
            raise SchemaUnusable(_UNUSABLE)
        self._made[id(schema)] = node
        inside = resolver.in_subresource(DRAFT202012.create_resource(schema))
        for keyword, make in KEYWORDS.items():
            if keyword in schema:
                make(Place(self.node, node, schema, inside, keyword))
        return node


def _parts(value: Any) -> int:
    """How many values a value is made of."""
    count, pending = 0, [value]
    while pending:
        part = pending.pop()
        count += 1
        if isinstance(part, Mapping):
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return count
