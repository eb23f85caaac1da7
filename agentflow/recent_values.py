"""The most recently used values; only for content that its key determines, which can never be stale."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_CACHED_ITEMS = 256
#: Of JSON; as Python values it is some times that.
_CACHED_BYTES = 16 * 1024 * 1024

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class RecentValues(Generic[_Key, _Value]):
    """Keeps so many values of so much weight in all; those that were not asked for the longest go first."""

    def __init__(self, size: int = _CACHED_ITEMS, weight: int = _CACHED_BYTES) -> None:
        self._size, self._most_weight, self._weight = size, weight, 0
        self._values: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """The value, if it is kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: _Key, value: _Value, *, weight: int = 0) -> None:
        """Keeps a value, in place of the key's earlier one."""
        _, before = self._values.pop(key, (None, 0))
        self._values[key] = (value, weight)
        self._weight += weight - before
        while len(self._values) > self._size or self._weight > self._most_weight:
            _, (_, gone) = self._values.popitem(last=False)
            self._weight -= gone
