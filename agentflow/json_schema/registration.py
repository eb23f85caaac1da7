"""What a schema may not say though it has a schema's form, told to its author when it is registered.

Every part is gone through once, however many references lead to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from agentflow.json_schema.checks import SchemaUnusable
from agentflow.json_schema.ecma_pattern import registered_pattern
from agentflow.json_schema.metaschema import MAX_SCHEMA_PARTS, form_faults, parts_in
from agentflow.json_schema.schema import resolver_of
from agentflow.json_schema.subschemas import subschemas
from agentflow.linear_pattern import PatternRefused

Steps = tuple[str | int, ...]
Refusal = tuple[Steps, str]

#: Keywords of other drafts that Draft 2020-12 passes over, though they are rules: keyword → what to write.
_OF_OTHER_DRAFTS = {
    "dependencies": "`dependencies` is not in Draft 2020-12; write `dependentRequired` or `dependentSchemas`",
    "$recursiveRef": "`$recursiveRef` is not in Draft 2020-12; write `$ref`",
    "$dynamicRef": "`$dynamicRef` is not supported; write `$ref`",
}
#: What all patterns together may weigh, in instructions of RE2, of which it makes five in a microsecond.
_MAX_PATTERNS_WEIGHT = 1_000_000
_EVERY_PATTERN_WEIGHT = 250
_REFUSED_PATTERN_WEIGHT = 20_000
_MOST_SHOWN = 120
#: Names in all references together, of which each is looked up: a second.
_MAX_REFERENCE_STEPS = 200_000


def refused_parts(schema: Any) -> Iterator[Refusal]:
    """Path and reason of each rule that could not be checked, or would not be as its author means it.

    `schema` has a schema's form. Raises SchemaUnusable where its `$id` is no URL.
    """
    return _Review(schema).refusals()


class _Review:
    """One schema on its way through."""

    def __init__(self, schema: Any) -> None:
        try:
            self._schema, self._resolver = schema, resolver_of(schema)
        except ValueError:
            raise SchemaUnusable("its `$id` is no URL") from None
        self._own = _mappings_in(schema)
        self._visited: set[int] = set()
        self._references: list[tuple[Steps, str, Any]] = []
        self._patterns_weight = 0
        #: Steps of all references, and parts of what they lead to where no schema stands otherwise.
        self._reference_steps = self._parts_behind = 0

    def refusals(self) -> Iterator[Refusal]:
        yield from self._below((), self._schema, self._resolver)
        while self._references:
            yield from self._behind(*self._references.pop())

    def _below(self, path: Steps, schema: Any, resolver: Any, *, seen_from: Steps | None = None) -> Iterator[Refusal]:
        """The refusals in `schema`; their path is `seen_from` where the way to them leads through a reference."""
        pending = [(path, schema, resolver)]
        while pending:
            path, part, resolver = pending.pop()
            if not isinstance(part, Mapping) or id(part) in self._visited:
                continue
            self._visited.add(id(part))
            inside = resolver.in_subresource(DRAFT202012.create_resource(part))
            if isinstance(part.get("$ref"), str):
                self._references.append((seen_from or (*path, "$ref"), part["$ref"], inside))
            yield from ((seen_from or (*path, keyword), reason) for keyword, reason in self._of_keywords(part))
            pending.extend(((*path, *steps), below, inside) for steps, below in subschemas(part))

    def _of_keywords(self, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from ((keyword, reason) for keyword, reason in _OF_OTHER_DRAFTS.items() if part.get(keyword))
        yield from (("pattern", reason) for reason in self._of_pattern(part.get("pattern")))
        for source in part.get("patternProperties", ()):
            yield from (("patternProperties", reason) for reason in self._of_pattern(source))

    def _of_pattern(self, source: str | None) -> Iterator[str]:
        if source is None or self._patterns_weight > _MAX_PATTERNS_WEIGHT:
            return
        try:
            self._patterns_weight += _EVERY_PATTERN_WEIGHT + registered_pattern(source).size
        except PatternRefused as refusal:
            self._patterns_weight += _REFUSED_PATTERN_WEIGHT
            yield str(refusal)
        if self._patterns_weight > _MAX_PATTERNS_WEIGHT:
            yield "this pattern and those before it are too large together"

    def _behind(self, path: Steps, reference: str, resolver: Any) -> Iterator[Refusal]:
        """The refusals of what a reference leads to, which may stand under a keyword that holds no schemas."""
        self._reference_steps += 1 + reference.count("/")
        if self._reference_steps > _MAX_REFERENCE_STEPS or self._parts_behind > MAX_SCHEMA_PARTS:
            yield path, "it and the references before it lead through too much; let them lead to parts of `$defs`"
            self._references.clear()
            return
        try:
            found = resolver.lookup(reference)
        except (Unresolvable, ValueError):
            yield path, f"the reference {reference[:_MOST_SHOWN]!r} leads to no schema"
            return
        target = found.contents
        if id(target) in self._visited or isinstance(target, bool):
            return
        is_own = isinstance(target, Mapping) and id(target) in self._own
        if is_own:
            self._parts_behind += parts_in(target)
        if not isinstance(target, Mapping) or (is_own and form_faults(target, limit=1)):
            yield path, f"the reference {reference[:_MOST_SHOWN]!r} leads to no schema"
        elif is_own:
            yield from self._below(path, target, found.resolver, seen_from=path)


def _mappings_in(schema: Any) -> frozenset[int]:
    """The objects that a schema is made of; references lead to those of metaschemas as well."""
    found, pending = set(), [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            found.add(id(part))
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return frozenset(found)
