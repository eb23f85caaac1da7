import threading
from collections.abc import Mapping

from bench.chaos.vigil import Vigil

_TIMEOUT_SECONDS = 30.0


class Stack:
    """A stack of which the test says what is away."""

    def __init__(self, *looks: Mapping[str, str]) -> None:
        self._looks = list(looks)
        self.looked_at_all = threading.Event()

    def absences(self) -> Mapping[str, str]:
        if len(self._looks) > 1:
            return self._looks.pop(0)
        self.looked_at_all.set()
        return self._looks[0]

    def abandon(self) -> None:
        raise AssertionError("the block has ended by itself")


def watch(stack: Stack, *, patience: float = 0.0, deadline: float = 3600.0) -> tuple[Vigil, threading.Event]:
    stopped = threading.Event()
    vigil = Vigil(stack, stop=stopped.set, patience_seconds=patience, deadline_seconds=deadline)
    return vigil, stopped


def test_a_part_that_stays_away_is_named_with_its_reason_and_the_phase() -> None:
    vigil, stopped = watch(Stack({"postgres": "its file is broken"}))

    with vigil:
        vigil.phase = "the storm of kills"
        assert stopped.wait(_TIMEOUT_SECONDS)

    (finding,) = vigil.findings
    assert finding.startswith("away: postgres has not answered for ")
    assert finding.endswith("during the storm of kills: its file is broken")


def test_a_part_that_comes_back_in_time_stops_nothing() -> None:
    stack = Stack({"api": "killed"}, {}, {"api": "killed"}, {})
    vigil, stopped = watch(stack)

    with vigil:
        assert stack.looked_at_all.wait(_TIMEOUT_SECONDS)

    assert [] == vigil.findings
    assert not stopped.is_set()


def test_a_suite_that_takes_too_long_says_what_it_was_at() -> None:
    vigil, stopped = watch(Stack({}), deadline=0.0)

    with vigil:
        vigil.phase = "the recovery"
        assert stopped.wait(_TIMEOUT_SECONDS)

    assert ["too long: the recovery was not over after 0 s; away at that moment: nothing"] == vigil.findings
