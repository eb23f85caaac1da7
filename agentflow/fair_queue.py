"""Who is next at something that few can use at once: no owner has all of it, and those that wait go in turn."""

from collections import Counter, deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class FairQueue(Generic[_Item]):
    """What waits for one of `places`, of which one owner (an organisation) has `share` at most."""

    def __init__(self, *, places: int, share: int) -> None:
        self._free, self._share = places, share
        self._taken: Counter[str] = Counter()
        #: The owner that was let in last is at the end.
        self._waiting: dict[str, deque[_Item]] = {}

    def count(self, owner: str) -> int:
        """How much of an owner waits."""
        return len(self._waiting.get(owner, ()))

    def add(self, owner: str, item: _Item) -> None:
        """Puts an item behind those of its owner."""
        self._waiting.setdefault(owner, deque()).append(item)

    def remove(self, owner: str, item: _Item) -> None:
        """Takes out an item that waits and no longer wants to."""
        queue = self._waiting[owner]
        queue.remove(item)
        if not queue:
            del self._waiting[owner]

    def let_in(self) -> _Item | None:
        """The item whose turn it is, which has its place until that is given back; None while nothing may go in."""
        if not self._free:
            return None
        owner = next((owner for owner in self._waiting if self._taken[owner] < self._share), None)
        if owner is None:
            return None
        self._free -= 1
        self._taken[owner] += 1
        queue = self._waiting.pop(owner)
        item = queue.popleft()
        if queue:
            self._waiting[owner] = queue
        return item

    def give_back(self, owner: str) -> None:
        """Ends the turn of an item of this owner."""
        self._free += 1
        self._taken[owner] -= 1
        if self._taken[owner] == 0:
            del self._taken[owner]
