"""What filters and operators cost, in steps that are taken before they run.

Each price bounds the worst case from above, by the sizes of what an operation is given, and a step is worth a few
microseconds at the most. So the steps of a rendering bound its time, and nothing has to be interrupted.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.exceptions import TemplateRuntimeError

from promptops.rendering.render_limits import CHARACTERS_PER_STEP, RenderBudget

#: Values of lists and mappings that are gone through in one step.
_VALUES_PER_STEP = 4
#: Items of a list that are compared with one value, or moved, in one step.
_ITEMS_PER_STEP = 64
#: Pairs of characters that are compared in one step, where a search compares most of them with each other.
_PAIRS_PER_STEP = 2048
#: A search in a text that is shorter may compare each character with each; CPython is linear in longer ones.
_QUADRATIC_SEARCH_CHARACTERS = 32_768

#: Filters that look at no more of a value than its size or one of its items.
_GLANCING_FILTERS = frozenset(["default", "first", "last", "length"])
#: How often a filter goes through what it is given; the others do so once.
_READINGS: Mapping[str, int] = {"title": 8, "upper": 2, "lower": 2, "trim": 2}

_COMPARISONS: Mapping[str, Callable[[Any, Any], object]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda item, container: item in container,
    "notin": lambda item, container: item not in container,
}


def pay_for_reading(budget: RenderBudget, value: object, *, times: int = 1) -> None:
    """Takes the steps of going `times` times through all of `value`, such as to write it as text."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            budget.spend(times * (len(part) // CHARACTERS_PER_STEP))
        elif isinstance(part, list | tuple):
            budget.spend(times * (1 + len(part) // _VALUES_PER_STEP))
            pending.extend(part)
        elif isinstance(part, dict):
            budget.spend(times * (1 + len(part) // _VALUES_PER_STEP))
            pending.extend(part)
            pending.extend(part.values())


def pay_for_filter(budget: RenderBudget, name: str, values: tuple[object, ...]) -> None:
    """Takes the steps of the filter `name` for the value before it and its arguments."""
    budget.spend()
    if name in _GLANCING_FILTERS:
        return
    for value in values:
        pay_for_reading(budget, value, times=_READINGS.get(name, 1))
    match name, values[0]:
        case "sort", list() | tuple() as items:
            _pay_for_sorting(budget, items)
        case "replace", str() as text if len(values) > 1 and isinstance(values[1], str):
            _pay_for_search(budget, text, values[1])


def compare(budget: RenderBudget, *chain: Any) -> bool:
    """What a comparison gives: values with the names of operators between them, as in `a < b < c`."""
    lefts, names, rights = chain[:-2:2], chain[1::2], chain[2::2]
    for left, name, right in zip(lefts, names, rights, strict=True):
        _pay_for_comparison(budget, name, left, right)
        if not _COMPARISONS[name](left, right):
            return False
    return True


def length_of_slice(value: str | list[Any] | tuple[Any, ...], bounds: slice) -> int:
    """How many items `value[bounds]` has; raises TemplateRuntimeError for bounds that are no whole numbers."""
    try:
        return len(range(*bounds.indices(len(value))))
    except (TypeError, ValueError):
        raise TemplateRuntimeError("a slice needs whole numbers, and a step other than zero") from None


def _pay_for_comparison(budget: RenderBudget, name: str, left: object, right: object) -> None:
    budget.spend()
    match name, left, right:
        case "in" | "notin", str(), str():
            _pay_for_search(budget, right, left)
        case "in" | "notin", _, list() | tuple():
            _pay_for_finding(budget, left, right)
        case "in" | "notin", _, _:
            pay_for_reading(budget, left)
        case _, str(), str():
            budget.spend(min(len(left), len(right)) // CHARACTERS_PER_STEP)
        case _, list() | tuple() | dict(), list() | tuple() | dict():
            pay_for_reading(budget, left if len(left) <= len(right) else right)


def _pay_for_search(budget: RenderBudget, text: str, wanted: str) -> None:
    """A search for `wanted` in `text`."""
    budget.spend((len(text) + len(wanted)) // CHARACTERS_PER_STEP)
    if len(text) < _QUADRATIC_SEARCH_CHARACTERS and len(wanted) <= len(text):
        budget.spend(len(text) * len(wanted) // _PAIRS_PER_STEP)


def _pay_for_finding(budget: RenderBudget, wanted: object, items: list[Any] | tuple[Any, ...]) -> None:
    """A search for `wanted` among `items`: each may begin like it, and differ at its end."""
    budget.spend(len(items) // _ITEMS_PER_STEP)
    if isinstance(wanted, str):
        budget.spend(len(items) * len(wanted) // _PAIRS_PER_STEP)
    elif isinstance(wanted, list | tuple | dict):
        pay_for_reading(budget, items)


def _pay_for_sorting(budget: RenderBudget, items: list[Any] | tuple[Any, ...]) -> None:
    """A comparison for each item and each doubling of their number; texts may differ at their ends only."""
    rounds = len(items).bit_length()
    characters = sum(len(item) for item in items if isinstance(item, str))
    budget.spend(rounds * (len(items) // _ITEMS_PER_STEP + characters // _PAIRS_PER_STEP))
