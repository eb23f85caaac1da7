"""Watches that the stack comes back: a part that stays away ends the suite with a verdict that names it."""

import faulthandler
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

_LOOK_SECONDS = 1.0
#: From being told to stop to being ended: longer than requests under way and the ends of all parts take.
_LAST_SECONDS = 180.0


class Watched(Protocol):
    """What is asked of the stack."""

    def absences(self) -> Mapping[str, str]:
        """Each part that does not answer at this moment, and why as far as it is known."""
        ...

    def abandon(self) -> None:
        """Ends every part at once, without waiting for any."""
        ...


class Vigil:
    """Looks at the parts in a thread of its own; as a context manager it ends with the block.

    `stop` is called once when a part has been away for `patience_seconds`, or the suite has taken
    `deadline_seconds`: whoever waits is to give up. What does not give up is ended, with the process.
    """

    def __init__(
        self, stack: Watched, *, stop: Callable[[], None], patience_seconds: float, deadline_seconds: float
    ) -> None:
        self._stack, self._stop = stack, stop
        self._patience, self._deadline = patience_seconds, deadline_seconds
        self._away_since: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vigil", daemon=True)
        #: What the suite is doing, for the verdict.
        self.phase = "the start"
        #: Why the suite was stopped; empty while there is no reason.
        self.findings: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(_LAST_SECONDS)

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            absences = self._stack.absences()
            self._away_since = {part: self._away_since.get(part, now) for part in absences}
            late = [part for part, since in self._away_since.items() if now - since > self._patience]
            if late or now - began > self._deadline:
                self._give_up(absences, late, now)
                return

    def _give_up(self, absences: Mapping[str, str], late: list[str], now: float) -> None:
        self.findings = [
            f"away: {part} has not answered for {now - self._away_since[part]:.0f} s, during {self.phase}: {reason}"
            for part, reason in absences.items()
            if part in late
        ]
        if not late:
            away = ", ".join(absences) or "nothing"
            took = f"{self.phase} was not over after {self._deadline:g} s"
            self.findings = [f"too long: {took}; away at that moment: {away}"]
        self._stop()
        if not self._over.wait(_LAST_SECONDS):
            self._end_all()

    def _end_all(self) -> None:
        from agentflow.process_exit import exit_process

        for finding in self.findings:
            print(finding, file=sys.stderr, flush=True)
        print(f"something still waits after {_LAST_SECONDS:g} s; what each thread does:", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(file=sys.stderr)
        self._stack.abandon()
        exit_process(1)
