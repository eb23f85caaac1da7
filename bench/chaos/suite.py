"""The suite from start to end: undisturbed runs, a death at every transition, a storm of kills, the judgement."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from agentflow.errors import AgentflowError
from bench.chaos.background_server import BackgroundServer
from bench.chaos.chaos_stack import BUCKET, ChaosStack
from bench.chaos.counting_model import CountingModel
from bench.chaos.documents import TEXT, TEXT_KEY
from bench.chaos.effect_service import EffectService
from bench.chaos.evidence import Evidence, read_evidence
from bench.chaos.judge import Observed, expectations, judge
from bench.chaos.killer import Killer, plan_kills
from bench.chaos.tool_server import tool_server
from bench.chaos.transition_deaths import TransitionDeaths
from bench.chaos.transitions import MOMENTS, TRANSITIONS, Arm
from bench.chaos.users import JobSeen, NotAccepted, Users
from bench.chaos.verdict import summary_of
from bench.chaos.vigil import Vigil
from bench.chaos.workload import SHAPES, Job, job, jobs
from cli.embedded.waiting import wait_until

_FIRST_CALM_JOB = 1_000_001
_PROGRESS_SECONDS = 10.0
_BEGAN = time.monotonic()
_RECOVERY_SECONDS = 60.0
_DEADLINE_BASE_SECONDS, _DEADLINE_RUN_SECONDS, _DEADLINE_DEATH_SECONDS = 900.0, 8.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """How much is to be killed."""

    seed: int
    runs: int
    kills: int
    #: How many deaths beside transitions; None is each of them, before and after.
    transitions: int | None = None
    users: int = 16
    workers: int = 2
    #: Whether shapes that take much of a machine are among the runs.
    with_heavy: bool = True
    #: How long a part may stay away before the suite gives up and names it.
    patience_seconds: float = 180.0

    @property
    def deadline_seconds(self) -> float:
        """How long the whole suite may take: several times what it does on two busy cores."""
        deaths = self.transitions if self.transitions is not None else len(TRANSITIONS) * len(MOMENTS)
        return _DEADLINE_BASE_SECONDS + _DEADLINE_RUN_SECONDS * self.runs + _DEADLINE_DEATH_SECONDS * deaths


class ChaosSuite:
    """Runs once, in a folder of its own."""

    def __init__(self, options: SuiteOptions, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._random = Random(options.seed)
        self._shapes = [shape for shape in SHAPES if options.with_heavy or not shape.is_heavy]
        self._seen: list[JobSeen] = []

    def run(self) -> tuple[Mapping[str, Any], bool]:
        """The figures, and whether every bar was kept."""
        began = time.monotonic()
        with (
            EffectService() as service,
            CountingModel(service.host) as model,
            BackgroundServer(lambda: tool_server(service), name="tool server") as tools_url,
            ChaosStack(self._folder, model_url=model.url, service_host=service.host, tools_url=tools_url) as stack,
        ):
            (self._folder / BUCKET / TEXT_KEY).write_text(TEXT, encoding="utf-8")
            users = Users(stack.api_url, stack.api_key, service, count=self._options.users)
            with self._watched(stack, users) as vigil:
                figures, findings = self._judged(stack, users, vigil, model, service)
            self._tell_findings(stack, findings)
        seconds = round(time.monotonic() - began)
        return {**figures, "seed": self._options.seed, "seconds": seconds}, not findings

    def _watched(self, stack: ChaosStack, users: Users) -> Vigil:
        return Vigil(
            stack,
            stop=users.stopped.set,
            patience_seconds=self._options.patience_seconds,
            deadline_seconds=self._options.deadline_seconds,
        )

    def _judged(
        self, stack: ChaosStack, users: Users, vigil: Vigil, model: CountingModel, service: EffectService
    ) -> tuple[dict[str, Any], list[str]]:
        """The figures and the findings; of a suite that was stopped, why it was."""
        try:
            deaths, killed = self._disturb(stack, users, vigil)
            vigil.phase = "the recovery"
            evidence = self._recovered(stack, users)
        except (AgentflowError, NotAccepted, SQLAlchemyError) as error:
            evidence, problem = None, f"{vigil.phase} ended with {type(error).__name__}: {error}"
        else:
            problem = "the database did not answer when all was over"
        if evidence is None or vigil.findings:
            # What was not waited for says nothing of what was lost.
            away = [f"away: {part}: {reason}" for part, reason in stack.absences().items()]
            return {"stopped": True}, vigil.findings or [f"stopped: {problem}", *away]
        observed = Observed(seen=self._seen, calls=model.calls(), deeds=service.deeds())
        verdict = judge(observed, self._expected, evidence)
        figures = {
            "kills": sum(killed.values()) + deaths.count,
            "kills_by_part": {**killed, "transitions": deaths.count},
            "runs": sum(len(seen.runs) for seen in self._seen),
            "lost": len(verdict.lost),
            "double_commits": len(verdict.double_commits),
            "in_doubt": verdict.in_doubt,
            "possible_double_spend": verdict.possible_double_spend,
            "physical_double_calls": verdict.physical_double_calls,
            "unreported": len(verdict.unreported),
        }
        return figures, [*verdict.findings, *deaths.unreached]

    def _disturb(self, stack: ChaosStack, users: Users, vigil: Vigil) -> tuple[TransitionDeaths, Mapping[str, int]]:
        vigil.phase = "the undisturbed runs"
        users.prepare()
        calm = users.perform([job(_FIRST_CALM_JOB + place, shape) for place, shape in enumerate(self._shapes)])
        self._expected = expectations(calm)
        self._seen += calm
        _tell(f"undisturbed: {Counter(run.state for seen in calm for run in seen.runs)}")
        wanted = jobs(self._random, self._shapes, self._options.runs)
        vigil.phase = "the deaths beside transitions"
        with TransitionDeaths(stack, users, self._arms()) as deaths:
            deaths.work_through()
            for number in range(1, self._options.workers):
                stack.start_worker(number)
            vigil.phase = "the storm of kills"
            killed = self._storm(stack, users, wanted)
            self._seen += deaths.survivors()
        return deaths, killed

    def _storm(self, stack: ChaosStack, users: Users, wanted: Sequence[Job]) -> Mapping[str, int]:
        options = self._options
        plan = plan_kills(self._random, kills=options.kills, runs=options.runs, workers=options.workers)
        killer = Killer(stack, plan, users)
        killer.start()
        try:
            with _progress(users):
                self._seen += users.perform(wanted)
        finally:
            killer.stop()
        return Counter(killer.done)

    def _arms(self) -> list[Arm]:
        arms = [
            Arm(transition=transition, moment=moment, nth=1 if self._random.random() < 0.7 else 2)
            for transition in TRANSITIONS
            for moment in MOMENTS
        ]
        wanted = self._options.transitions
        return arms if wanted is None else self._random.sample(arms, wanted)

    def _recovered(self, stack: ChaosStack, users: Users) -> Evidence | None:
        """What is recorded once the database answers again: the last kill may just have been. None if it does not."""
        found: list[Evidence] = []

        def answers() -> bool:
            with suppress(SQLAlchemyError):
                found.append(read_evidence(stack.database_url))
            return bool(found)

        wait_until(answers, timeout_seconds=_RECOVERY_SECONDS, cancelled=users.stopped, interval_seconds=0.5)
        return found[0] if found else None

    def _tell_findings(self, stack: ChaosStack, findings: Sequence[str]) -> None:
        if not findings:
            return
        for part in stack.parts:
            _tell(f"--- the end of {part}'s log:\n{stack.tail(part)}")
        _tell(f"--- {len(findings)} findings (seed {self._options.seed}):\n{summary_of(findings)}")


@contextmanager
def _progress(users: Users) -> Iterator[None]:
    """Tells at intervals how far the users are."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_PROGRESS_SECONDS):
            _tell(f"{users.ended} runs ended, {users.under_way} under way")

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(line: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {line}", file=sys.stderr, flush=True)
