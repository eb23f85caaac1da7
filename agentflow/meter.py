"""Counts what the evaluation of an author's text costs, so that it has the same end in every process and at replay."""

#: Characters, bytes or items that are handled in the time of a step.
_SIZE_PER_STEP = 32


class OverLimit(Exception):  # a way out of an evaluation, which callers turn into an error of theirs
    """More steps or memory than there may be; `reason` names the limit."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Meter:
    """What one evaluation may spend: `steps`, of about a microsecond, and `memory`, made, in characters or items."""

    __slots__ = ("_limit", "_memory", "_spent", "_stored")

    def __init__(self, *, steps: int, memory: int = 0) -> None:
        self._limit, self._memory = steps, memory
        self._spent = self._stored = 0

    def spend(self, steps: int = 1) -> None:
        """Pays for work before it is done; raises OverLimit."""
        self._spent += steps
        if self._spent > self._limit:
            self._over()

    def _over(self) -> None:
        raise OverLimit(f"it takes more than {self._limit:,} steps")

    def read(self, size: int) -> None:
        """Pays for going through so many characters or items; raises OverLimit."""
        self.spend(1 + size // _SIZE_PER_STEP)

    def make(self, size: int) -> None:
        """Pays for making a text or list of so many characters or items; raises OverLimit."""
        self._stored += size
        if self._stored > self._memory:
            raise OverLimit(f"it makes more than {self._memory:,} characters")
        self.spend(1 + size // _SIZE_PER_STEP)
