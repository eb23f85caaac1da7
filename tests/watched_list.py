"""A list that knows which threads go through it, for tests of what is to happen beside an event loop."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any


class WatchedList(list[Any]):
    """Counts the items that each thread, by its id, has gone through."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__(items)
        self.by_thread = Counter[int]()

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self.by_thread[threading.get_ident()] += 1
            yield item

    def __getitem__(self, index: Any) -> Any:
        self.by_thread[threading.get_ident()] += 1
        return super().__getitem__(index)

    def here(self) -> int:
        """Those of the thread that asks."""
        return self.by_thread[threading.get_ident()]
