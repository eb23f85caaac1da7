"""Functions of lists: cel-go's `lists` and `sets`, and `sum`, `min`, `max` of Kubernetes' list library."""

from functools import cmp_to_key
from typing import Any

from agentflow.meter import Meter
from runs.cel.function import Function, items, number, whole
from runs.cel.operators import add, compare, is_in
from runs.cel.text_functions import number_text
from runs.cel.values import Fault, is_number

#: Whole numbers below it are exact in either form.
_EXACT = 2**53


def in_order(meter: Meter, keys: list[Any], values: list[Any]) -> list[Any]:
    """`values` by the order of their `keys`; equal ones stay as they stand."""
    meter.make(len(values))
    meter.spend(len(keys) * len(keys).bit_length())
    by_key = cmp_to_key(lambda one, other: compare(meter, one, other))
    return [value for _, value in sorted(zip(keys, values, strict=True), key=lambda pair: by_key(pair[0]))]


def sort(meter: Meter, value: Any) -> list[Any]:
    """The items in order; they are of one kind."""
    found = items(value, "sort", meter)
    return in_order(meter, found, found)


def distinct(meter: Meter, value: Any) -> list[Any]:
    """Each item once, at its first place."""
    kept: list[Any] = []
    plain: set[Any] = set()
    for item in items(value, "distinct", meter):
        meter.spend()
        if isinstance(item, str) or is_number(item):
            # Large numbers by their digits: Python's hash of them is no secret, and many could share one.
            key = item if isinstance(item, str) or abs(item) < _EXACT else ("digits", number_text(item))
            if key in plain:
                continue
            plain.add(key)
        elif is_in(meter, item, kept):
            continue
        kept.append(item)
    meter.make(len(kept))
    return kept


def flatten(meter: Meter, value: Any, depth: Any = 1) -> list[Any]:
    """The items of the lists in a list, `depth` levels deep."""
    found = items(value, "flatten", meter)
    for _ in range(min(whole(depth, "flatten"), 64)):
        if not any(isinstance(item, list) for item in found):
            break
        meter.make(sum(len(item) if isinstance(item, list) else 1 for item in found))
        found = [part for item in found for part in (item if isinstance(item, list) else [item])]
    return found


def cut(meter: Meter, value: Any, start: Any, end: Any) -> list[Any]:
    """The items from `start` up to `end`."""
    found, first, last = items(value, "slice", meter), whole(start, "slice"), whole(end, "slice")
    if not 0 <= first <= last <= len(found):
        raise Fault(f"slice({first}, {last}) is outside of a list of {len(found)} items")
    meter.make(last - first)
    return found[first:last]


def total(meter: Meter, value: Any) -> Any:
    """The sum of numbers, 0 of none."""
    result: Any = 0
    for item in items(value, "sum", meter):
        meter.spend()
        result = add(meter, result, number(item, "sum"))
    return result


def numbered(meter: Meter, count: Any) -> list[int]:
    """0, 1, … below `count`."""
    size = max(0, whole(count, "lists.range"))
    meter.make(size)
    return list(range(size))


def _end(name: str, place: int) -> Function:
    def apply(meter: Meter, value: Any) -> Any:
        found = items(value, name, meter)
        if not found:
            raise Fault(f"{name}() needs a list with items, and this one is empty")
        return found[place]

    return Function(name=name, usage=f"list.{name}()", apply=apply)


def _extreme(name: str, wanted: int) -> Function:
    def apply(meter: Meter, value: Any) -> Any:
        found = items(value, name, meter)
        if not found:
            raise Fault(f"{name}() needs a list with items, and this one is empty")
        best = found[0]
        for item in found[1:]:
            meter.spend()
            best = item if compare(meter, item, best) == wanted else best
        return best

    return Function(name=name, usage=f"list.{name}()", apply=apply)


def _has_all(meter: Meter, whole_list: Any, part: Any) -> bool:
    held = items(whole_list, "sets.contains", meter)
    return all(is_in(meter, item, held) for item in items(part, "sets.contains", meter))


def _share(meter: Meter, one: Any, other: Any) -> bool:
    held = items(one, "sets.intersects", meter)
    return any(is_in(meter, item, held) for item in items(other, "sets.intersects", meter))


def _same(meter: Meter, one: Any, other: Any) -> bool:
    return _has_all(meter, one, other) and _has_all(meter, other, one)


FUNCTIONS: tuple[Function, ...] = (
    Function(name="sort", usage="list.sort()", apply=sort),
    Function(name="distinct", usage="list.distinct()", apply=distinct),
    Function(name="flatten", usage="list.flatten([depth])", apply=flatten, least=1, most=2),
    Function(name="slice", usage="list.slice(start, end)", apply=cut, least=3, most=3),
    Function(name="sum", usage="list.sum()", apply=total),
    _extreme("min", -1),
    _extreme("max", 1),
    _end("first", 0),
    _end("last", -1),
    Function(name="lists.range", usage="lists.range(count)", apply=numbered, style="global"),
    Function(name="sets.contains", usage="sets.contains(list, part)", apply=_has_all, least=2, most=2, style="global"),
    Function(name="sets.intersects", usage="sets.intersects(a, b)", apply=_share, least=2, most=2, style="global"),
    Function(name="sets.equivalent", usage="sets.equivalent(a, b)", apply=_same, least=2, most=2, style="global"),
)
