"""What a keyword finds where it stands, and what keywords share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.json_schema.checks import Node, Path, Run, SchemaUnusable
from agentflow.json_schema.ecma_pattern import schema_pattern
from agentflow.linear_pattern import LinearPattern, PatternRefused


@dataclass(frozen=True, slots=True)
class Place:
    """A keyword of a schema that is being compiled."""

    compile: Callable[[Any, Any], Node]
    node: Node
    schema: Mapping[str, Any]
    resolver: Any
    keyword: str

    @property
    def rule(self) -> Any:
        return self.schema[self.keyword]

    def sub(self, schema: Any) -> Node:
        return self.compile(schema, self.resolver)

    def subs(self, schemas: Mapping[str, Any]) -> dict[str, Node]:
        return {name: self.sub(schema) for name, schema in schemas.items()}

    def pattern(self, source: str) -> LinearPattern:
        try:
            return schema_pattern(source)
        except PatternRefused as refusal:
            raise SchemaUnusable(str(refusal)) from None

    def adds(self, kind: Any, holds: Callable[[Run, Any], bool]) -> None:
        """A check of values of one kind; others fit."""
        node, keyword = self.node, self.keyword

        def check(run: Run, value: Any, path: Path) -> bool:
            if not isinstance(value, kind) or isinstance(value, bool) or holds(run, value):
                return True
            return run.fault(node, keyword, value, path)

        self.node.checks.append(check)


def all_fit(run: Run, visits: Iterator[tuple[Node, Any, Path]]) -> bool:
    """Whether each value fits its node; the faults of all are noted, as far as they are asked for."""
    fits = True
    for node, value, path in visits:
        if not node.check(run, value, path):
            fits = False
            if run.is_over:
                break
    return fits


def seen_by(run: Run, value: Any, nodes: list[Node]) -> set[Any]:
    """What several schemas of one value evaluate."""
    found: set[Any] = set()
    for node in nodes:
        more = node.seen(run, value)
        run.meter.read(len(more))
        found |= more
    return found
