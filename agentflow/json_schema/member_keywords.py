"""Keywords about the members of objects and the items of arrays."""

from collections.abc import Iterator, Mapping
from typing import Any

from agentflow.json_schema.checks import Node, Path, Run
from agentflow.json_schema.place import Place, all_fit


def properties_keyword(place: Place) -> None:
    nodes = place.subs(place.rule)

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, Mapping):
            return True
        run.meter.spend(len(nodes) // 8)
        return all_fit(run, ((node, value[name], (path, name)) for name, node in nodes.items() if name in value))

    place.node.checks.append(check)
    place.node.evaluated.append(lambda run, value: _members(run, value) & nodes.keys())


def pattern_properties(place: Place) -> None:
    nodes = [(place.pattern(source), place.sub(schema)) for source, schema in place.rule.items()]

    def fitting(run: Run, value: Any) -> Iterator[tuple[Node, str]]:
        for pattern, node in nodes:
            for name in value:
                run.meter.spend(pattern.steps(name))
                if pattern.is_found_in(name):
                    yield node, name

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, Mapping):
            return True
        return all_fit(run, ((node, value[name], (path, name)) for node, name in fitting(run, value)))

    def evaluated(run: Run, value: Any) -> set[Any]:
        return {name for _, name in fitting(run, value)} if isinstance(value, Mapping) else set()

    place.node.checks.append(check)
    place.node.evaluated.append(evaluated)


def additional_keyword(place: Place) -> None:
    node, other, known = place.node, place.sub(place.rule), place.schema.get("properties", {})
    patterns = [place.pattern(source) for source in place.schema.get("patternProperties", {})]

    def extra(run: Run, value: Any) -> Iterator[str]:
        run.meter.spend(1 + len(value) // 8)
        for name in value:
            if name in known:
                continue
            run.meter.spend(sum(pattern.steps(name) for pattern in patterns))
            if not any(pattern.is_found_in(name) for pattern in patterns):
                yield name

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, Mapping):
            return True
        if other.schema is False:
            return next(extra(run, value), None) is None or run.fault(node, "additionalProperties", value, path)
        return all_fit(run, ((other, value[name], (path, name)) for name in extra(run, value)))

    def evaluated(run: Run, value: Any) -> set[Any]:
        return set(extra(run, value)) if isinstance(value, Mapping) else set()

    node.checks.append(check)
    node.evaluated.append(evaluated)


def names_keyword(place: Place) -> None:
    node = place.sub(place.rule)

    def check(run: Run, value: Any, path: Path) -> bool:
        return not isinstance(value, Mapping) or all_fit(run, ((node, name, path) for name in value))

    place.node.checks.append(check)


def items_keyword(place: Place) -> None:
    node, first = place.sub(place.rule), len(place.schema.get("prefixItems", ()))

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, list):
            return True
        return all_fit(run, ((node, value[index], (path, index)) for index in range(first, len(value))))

    place.node.checks.append(check)
    place.node.evaluated.append(lambda run, value: _positions(run, value, None))


def prefix_keyword(place: Place) -> None:
    nodes = [place.sub(schema) for schema in place.rule]

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, list):
            return True
        pairs = zip(nodes, value, strict=False)
        return all_fit(run, ((node, item, (path, index)) for index, (node, item) in enumerate(pairs)))

    place.node.checks.append(check)
    place.node.evaluated.append(lambda run, value: _positions(run, value, len(nodes)))


def contains_keyword(place: Place) -> None:
    node = place.sub(place.rule)
    least, most = place.schema.get("minContains", 1), place.schema.get("maxContains")

    def found(run: Run, value: Any) -> set[Any]:
        return {index for index, item in enumerate(value) if node.fits(run, item)} if isinstance(value, list) else set()

    def holds(run: Run, value: list[Any]) -> bool:
        count = len(found(run, value))
        return least <= count and (most is None or count <= most)

    place.adds(list, holds)
    place.node.evaluated.append(found)


def _members(run: Run, value: Any) -> set[Any]:
    if not isinstance(value, Mapping):
        return set()
    run.meter.read(len(value))
    return set(value)


def _positions(run: Run, value: Any, count: int | None) -> set[Any]:
    if not isinstance(value, list):
        return set()
    run.meter.read(len(value))
    return set(range(len(value) if count is None else min(count, len(value))))
