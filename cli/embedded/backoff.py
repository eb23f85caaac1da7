"""How long to wait before a part that crashed is started again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubles from `first_seconds` to `longest_seconds`; starts over after a run that was long enough."""

    first_seconds: float = 0.5
    longest_seconds: float = 10.0
    #: A part that ran this long was well; its next crash is a first one.
    healthy_after_seconds: float = 30.0

    def delay_seconds(self, crashes_in_a_row: int) -> float:
        """The wait after the n-th crash in a row, counted from 1."""
        doublings = min(max(crashes_in_a_row, 1) - 1, 32)
        return min(self.first_seconds * 2.0**doublings, self.longest_seconds)

    def crashes_in_a_row(self, before: int, *, ran_for_seconds: float) -> int:
        """The count with the crash that ended a run of `ran_for_seconds`."""
        return 1 if ran_for_seconds >= self.healthy_after_seconds else before + 1
