"""A death right before and right after each transition: one process after the other, each by its own hand."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from bench.chaos.chaos_stack import ChaosStack
from bench.chaos.transitions import Arm, read_arm
from bench.chaos.users import JobSeen, Users
from bench.chaos.workload import job, shape_of
from cli.embedded.waiting import wait_until

_FIRST_JOB = 2_000_001
_USERS = 48
#: A process that has not come to its transition asks for another run.
_ANOTHER_RUN_SECONDS = 4.0
#: A transition that is not come to in this time is none: its pattern fits no statement.
_REACHED_SECONDS = 60.0


class TransitionDeaths:
    """Arms the first worker and the API with their transitions, and submits runs that come to them."""

    def __init__(self, stack: ChaosStack, users: Users, arms: Sequence[Arm]) -> None:
        self._stack, self._users, self._arms = stack, users, arms
        self._pool = ThreadPoolExecutor(_USERS, thread_name_prefix="mourner")
        self._number = _FIRST_JOB
        self._submitted: list[Future[JobSeen]] = []
        #: Deaths that were died.
        self.count = 0
        #: Transitions that no run came to.
        self.unreached: list[str] = []

    def work_through(self) -> None:
        """Returns when all have died; the runs that met the deaths go on."""
        for part in ("worker-0", "api"):
            self._work_through(part, [arm for arm in self._arms if arm.transition.part == part])

    def survivors(self) -> list[JobSeen]:
        """What became of the runs that met the deaths, once they have ended."""
        return [future.result() for future in self._submitted]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._users.stopped.set()
        self._pool.shutdown(cancel_futures=error is not None)

    def _work_through(self, part: str, arms: Sequence[Arm]) -> None:
        if not arms:
            return
        self._write(part, [arm.line() for arm in arms])
        # A process reads its arm when it starts.
        self._stack.kill(part)
        while (lines := self._read(part)) and not self._users.stopped.is_set():
            self._die(part, lines)
        self._stack.arms_of(part).unlink()

    def _die(self, part: str, lines: Sequence[str]) -> None:
        began = time.monotonic()
        shape = shape_of(read_arm(lines[0]).transition.shape)
        while time.monotonic() - began < _REACHED_SECONDS and not self._users.stopped.is_set():
            self._submitted.append(self._pool.submit(self._users.perform_one, job(self._number, shape)))
            self._number += 1
            if wait_until(
                lambda: self._read(part) != lines, timeout_seconds=_ANOTHER_RUN_SECONDS, cancelled=self._users.stopped
            ):
                self.count += 1
                self._users.disturb()
                print(f"death {self.count}/{len(self._arms)}: {part} at {lines[0]}", file=sys.stderr, flush=True)
                return
        self.unreached.append(f"no run came to {lines[0]} of {part}")
        self._write(part, lines[1:])
        self._stack.kill(part)

    def _read(self, part: str) -> list[str]:
        return self._stack.arms_of(part).read_text(encoding="ascii").splitlines()

    def _write(self, part: str, lines: Sequence[str]) -> None:
        self._stack.arms_of(part).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
