"""Checks values against an author's JSON Schema (Draft 2020-12) under a counted bound, patterns in linear time.

A schema of a few lines can ask for years of work: 2^16 ways of `$ref`, `^(a+)+$`, `unevaluatedProperties` in
`unevaluatedProperties`. So every visit of a schema, and whatever a keyword goes through, is paid for before it is done.
`format` is an annotation, as the draft has it. References stay inside the schema and the drafts' own metaschemas.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # ships no type information
from referencing.jsonschema import DRAFT202012, SchemaRegistry

from agentflow.json_schema.checks import Node, Run, SchemaFault, SchemaUnusable
from agentflow.json_schema.keywords import KEYWORDS
from agentflow.json_schema.place import Place
from agentflow.meter import Meter

#: The drafts' metaschemas, which ship with jsonschema; it fetches nothing.
OFFLINE: SchemaRegistry = REGISTRY
_UNUSABLE = "a reference in it leads to what is no schema, or its `$id` is no URL"
#: What a check may take: a second's work, and for each part of the value what the longest of schemas take.
_FREE_STEPS = 500_000
_STEPS_A_PART = 100
#: Within this a check is over before anyone else on an event loop notices (about 2 ms).
INLINE_STEPS = 2_000


def resolver_of(schema: Any) -> Any:
    """Where references in `schema` lead, every anchor looked up once; raises ValueError for an `$id` that is no URL."""
    root = DRAFT202012.create_resource(schema)
    registry = OFFLINE.with_resource(root.id() or "", root).crawl()
    return registry.resolver(base_uri=root.id() or "")


def _lazy_resolver_of(schema: Any) -> Any:
    root = DRAFT202012.create_resource(schema)
    return OFFLINE.with_resource(root.id() or "", root).resolver_with_root(root)


class JsonSchema:
    """A schema made ready to check many values."""

    def __init__(self, schema: Any, *, part: Any = None) -> None:
        """`schema` has a schema's form; with `part`, values are checked by that part of it alone.

        Raises SchemaUnusable for patterns and references that cannot be used.
        """
        try:
            # For a part, the whole is gone through only where a reference in it asks for that: parts may be many.
            resolver = resolver_of(schema) if part is None else _lazy_resolver_of(schema)
            self._root = _Compiler().node(schema if part is None else part, resolver)
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            # It has the form of a schema, and something that it refers to has not; or its `$id` is no URL.
            raise error if isinstance(error, SchemaUnusable) else SchemaUnusable(_UNUSABLE) from None

    def faults(self, value: Any, *, limit: int, steps: int | None = None) -> list[SchemaFault]:
        """What is wrong with `value`, up to `limit` faults, in at most `steps`, or else in proportion to its size.

        Raises OverLimit, RecursionError for endless nesting, and SchemaUnusable where only a value shows it.
        """
        run = Run(_MeterOfValue(value) if steps is None else Meter(steps=steps), limit)
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


class _MeterOfValue(Meter):
    """Lets a check spend in proportion to the size of its value, which is looked at where that is asked for."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        super().__init__(steps=_FREE_STEPS)
        self._value = value

    def _over(self) -> None:
        self._limit = _FREE_STEPS + _STEPS_A_PART * _parts(self._value)
        if self._spent > self._limit:
            super()._over()


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
