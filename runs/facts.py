"""Facts: the small projection of an output that scheduling needs, so that history never holds documents.

A fact that is no small value is marked as *large*: whoever needs it asks where the content is.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from agentflow.digest import canonical_json
from runs.plan import Fact

MAX_FACT_BYTES = 4_096
#: How an answer ended, where that is not `stop`.
FINISH_REASON = "meta:finish_reason"
_VALUE, _LARGE = "value:", "large:"


def extract_facts(output: Any, wanted: Iterable[Fact]) -> dict[str, Any]:
    """The facts of `output` by their keys; a path that is not there gives no fact, a large value only its mark."""
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
            elif len(canonical_json(value)) > MAX_FACT_BYTES:
                facts[large_key(fact)] = True
            else:
                facts[fact.key] = value
    return facts


def finish_fact(reason: str | None) -> dict[str, str]:
    """How an answer ended, as a fact; none where it ended as it should."""
    return {} if reason in {None, "stop"} else {FINISH_REASON: str(reason)}


def large_key(fact: Fact) -> str:
    """The key under which a fact is marked as large."""
    return fact.key.replace(_VALUE, _LARGE, 1)


def only_marks(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts, each value replaced by the mark of a large one."""
    return {key.replace(_VALUE, _LARGE, 1): True if key.startswith(_VALUE) else fact for key, fact in facts.items()}


def is_large(facts: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether something that stands on this path, above it or below it is too large to be a fact."""
    for key in facts:
        if key.startswith(_LARGE):
            dotted = key.removeprefix(_LARGE)
            marked = tuple(dotted.split(".")) if dotted else ()
            if all(one == other for one, other in zip(marked, path, strict=False)):
                return True
    return False


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
