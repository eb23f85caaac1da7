"""Keywords that put schemas together, and those that ask what the others have left over."""

from collections.abc import Mapping
from typing import Any

from agentflow.json_schema.checks import Node, Path, Run
from agentflow.json_schema.place import Place, all_fit, seen_by


def all_of(place: Place) -> None:
    nodes = [place.sub(schema) for schema in place.rule]
    place.node.checks.append(lambda run, value, path: all_fit(run, ((node, value, path) for node in nodes)))
    place.node.evaluated.append(lambda run, value: seen_by(run, value, nodes))


def any_of(place: Place) -> None:
    nodes, node = [place.sub(schema) for schema in place.rule], place.node

    def check(run: Run, value: Any, path: Path) -> bool:
        if any(one.fits(run, value) for one in nodes):
            return True
        return run.fault(node, "anyOf", value, path, fits_none=True)

    node.checks.append(check)
    node.evaluated.append(lambda run, value: seen_by(run, value, [one for one in nodes if one.fits(run, value)]))


def one_of(place: Place) -> None:
    nodes, node = [place.sub(schema) for schema in place.rule], place.node

    def check(run: Run, value: Any, path: Path) -> bool:
        count = sum(one.fits(run, value) for one in nodes)
        return count == 1 or run.fault(node, "oneOf", value, path, fits_none=not count)

    node.checks.append(check)
    node.evaluated.append(lambda run, value: seen_by(run, value, [one for one in nodes if one.fits(run, value)]))


def not_keyword(place: Place) -> None:
    node, other = place.node, place.sub(place.rule)
    node.checks.append(lambda run, value, path: not other.fits(run, value) or run.fault(node, "not", value, path))


def if_keyword(place: Place) -> None:
    asked = place.sub(place.rule)
    then, otherwise = (place.sub(place.schema.get(name, True)) for name in ("then", "else"))

    def check(run: Run, value: Any, path: Path) -> bool:
        return (then if asked.fits(run, value) else otherwise).check(run, value, path)

    def evaluated(run: Run, value: Any) -> set[Any]:
        return seen_by(run, value, [asked, then] if asked.fits(run, value) else [otherwise])

    place.node.checks.append(check)
    place.node.evaluated.append(evaluated)


def dependent_schemas(place: Place) -> None:
    nodes = place.subs(place.rule)

    def present(run: Run, value: Any) -> list[Node]:
        run.meter.spend(len(nodes) // 8)
        return [node for name, node in nodes.items() if name in value] if isinstance(value, Mapping) else []

    place.node.checks.append(
        lambda run, value, path: all_fit(run, ((node, value, path) for node in present(run, value)))
    )
    place.node.evaluated.append(lambda run, value: seen_by(run, value, present(run, value)))


def unevaluated_keyword(place: Place) -> None:
    """What no other keyword here, nor in the schemas that apply to the same value, has a say about."""
    node, keyword, other = place.node, place.keyword, place.sub(place.rule)
    kind: Any = Mapping if keyword == "unevaluatedProperties" else list
    before = list(node.evaluated)

    def rest(run: Run, value: Any) -> list[Any]:
        run.meter.spend(1 + len(value) // 8)
        seen: set[Any] = set()
        for part in before:
            seen |= part(run, value)
        return [key for key in (value if kind is Mapping else range(len(value))) if key not in seen]

    def check(run: Run, value: Any, path: Path) -> bool:
        if not isinstance(value, kind):
            return True
        if all(other.fits(run, value[key]) for key in rest(run, value)):
            return True
        return run.fault(node, keyword, value, path)

    node.checks.append(check)
    node.evaluated.append(lambda run, value: set(rest(run, value)) if isinstance(value, kind) else set())
