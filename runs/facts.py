"""Facts: the small projection of an output that scheduling needs, so that history never holds documents."""

from collections.abc import Iterable, Mapping
from typing import Any

from agentflow.digest import canonical_json
from runs.errors import FactTooLarge
from runs.plan import Fact

MAX_FACT_BYTES = 4_096


def extract_facts(output: Any, wanted: Iterable[Fact], *, owner: str) -> dict[str, Any]:
    """The facts of `output` by their keys; a path that is not there gives no fact.

    Raises FactTooLarge, naming `owner` and the path, for a value over MAX_FACT_BYTES.
    """
    facts: dict[str, Any] = {}
    for fact in wanted:
        value = output
        for step in fact.path:
            if not isinstance(value, Mapping) or step not in value:
                break
            value = value[step]
        else:
            if fact.kind == "size":
                facts[fact.key] = len(value) if isinstance(value, list | tuple) else -1
                continue
            size_bytes = len(canonical_json(value))
            if size_bytes > MAX_FACT_BYTES:
                path = ".".join((owner, *fact.path))
                raise FactTooLarge(path=path, size_bytes=size_bytes, limit_bytes=MAX_FACT_BYTES)
            facts[fact.key] = value
    return facts


def facts_as_scope(facts: Mapping[str, Any]) -> Any:
    """The value facts as the nested mapping that expressions walk, or the output itself where all of it is a fact."""
    scope: Any = {}
    for key, value in sorted(facts.items()):
        kind, _, dotted = key.partition(":")
        if kind != "value":
            continue
        if not dotted:
            return value
        *parents, last = dotted.split(".")
        place = scope
        for step in parents:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                break
        else:
            place.setdefault(last, value)
    return scope
