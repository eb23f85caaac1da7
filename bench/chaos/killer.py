"""Who is killed, and when: drawn from a seed and bound to how far the runs are, so that no kill hits an idle stack."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random

from bench.chaos.chaos_stack import ChaosStack
from bench.chaos.users import Users
from cli.embedded.waiting import wait_until

#: Of a hundred kills about this many.
_WEIGHTS = {"worker": 45, "postgres": 20, "temporal": 20, "api": 15}
_LONGEST_DELAY_SECONDS, _LONGEST_DELAY_AGAIN_SECONDS = 1.5, 0.5
#: One in so many kills hits what has just been started again.
_AGAIN, _AGAIN_ONE_IN = "again", 6
#: How much of the workload has passed when the last kill is due: it is to hit many runs, not the last.
_LAST_KILL = 0.85
_POLL_SECONDS = 0.02
_BACK_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill of the plan."""

    #: A part of the stack.
    part: str
    #: Not before so many runs have been accepted or have ended, each counted for both.
    after_steps: int
    delay_seconds: float


def plan_kills(random: Random, *, kills: int, runs: int, workers: int) -> list[Kill]:
    """`kills` kills over the course of `runs` runs; every part is among them when there is room."""
    drawn = random.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()), k=max(kills - len(_WEIGHTS), 0))
    parts = [f"worker-{random.randrange(workers)}" if part == "worker" else part for part in drawn]
    # What has just been started again is a part of its own: its recovery is what is hit.
    parts = [_AGAIN if random.randrange(_AGAIN_ONE_IN) == 0 else part for part in parts]
    parts += [f"worker-{random.randrange(workers)}", "postgres", "temporal", "api"][:kills]
    random.shuffle(parts)
    planned: list[Kill] = []
    for number, part in enumerate(parts):
        due = 1 + round(number * 2 * runs * _LAST_KILL / kills)
        kill = Kill(part=part, after_steps=due, delay_seconds=random.uniform(0, _LONGEST_DELAY_SECONDS))
        if part == _AGAIN:
            delay = random.uniform(0, _LONGEST_DELAY_AGAIN_SECONDS)
            kill = replace(planned[-1] if planned else replace(kill, part="temporal"), delay_seconds=delay)
        planned.append(kill)
    return planned


class Killer:
    """Carries out a plan in a thread of its own, once."""

    def __init__(self, stack: ChaosStack, plan: Sequence[Kill], users: Users) -> None:
        self._stack, self._plan, self._users = stack, plan, users
        self._before = users.accepted + users.ended
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="killer")
        self._work_done: Future[None] | None = None
        #: The parts that were killed, in order.
        self.done: list[str] = []

    def start(self) -> None:
        self._work_done = self._pool.submit(self._work)

    def stop(self) -> None:
        """Kills no more, and returns when the latest kill is over; raises what stopped it before, if anything did."""
        self._stopped.set()
        self._pool.shutdown()
        if self._work_done is not None:
            self._work_done.result()

    def _work(self) -> None:
        for number, kill in enumerate(self._plan, start=1):
            while not self._is_due(kill):
                if self._stopped.wait(_POLL_SECONDS):
                    return
            self._stopped.wait(kill.delay_seconds)
            wait_until(
                lambda part=kill.part: self._stack.pid(part) is not None,  # type: ignore[misc]  # a default of a lambda
                timeout_seconds=_BACK_TIMEOUT_SECONDS,
                cancelled=self._stopped,
            )
            under_way = self._users.under_way
            pid = self._stack.kill(kill.part)
            if pid is not None:
                self.done.append(kill.part)
                self._users.disturb()
            told = f"kill {number}/{len(self._plan)}: {kill.part} (pid {pid}), {under_way} runs under way"
            print(told, file=sys.stderr, flush=True)

    def _is_due(self, kill: Kill) -> bool:
        users = self._users
        return users.accepted + users.ended - self._before >= kill.after_steps and users.under_way > 0
