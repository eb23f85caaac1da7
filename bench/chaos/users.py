"""The users of the platform: each wants runs, submits them until they are accepted, and stays until they have ended."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from agentflow.client import FINAL_STATES, AgentflowClient, ApiRequestFailed, ApiUnreachable
from agentflow.client_types import ApprovalDocument, RunDocument
from agentflow.errors import AgentflowError
from bench.chaos.documents import PROMPT, PROMPT_SCHEMA, TEMPLATE
from bench.chaos.effect_service import Effect, EffectService, effect_asked_for
from bench.chaos.workload import SHAPES, Job

BUDGET_CENTS = 500
#: A run is looked at less often the longer it lasts.
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.3, 2.0
_PAUSE_SECONDS = 0.5
#: A platform that is killed again and again still takes a request within this time.
_ACCEPTANCE_SECONDS = 120.0
#: A run that has not ended this long after it was accepted, and after the latest kill, has been lost.
_RUN_SECONDS = 180.0
_CANCEL_AFTER_SECONDS = 1.0
_PAUSED_SECONDS = 1.0

_Answer = TypeVar("_Answer")


class NotAccepted(Exception):
    """A request that any user may make was refused, or not answered for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """An accepted run, as its user saw it last."""

    run_id: str
    state: str
    outputs: dict[str, Any] | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """What became of a job: its run, the re-run if there was to be one, or why there is none."""

    job: Job
    runs: tuple[RunSeen, ...]
    problem: str | None = None


class Users:
    """Some users side by side; the counts may be read while they are at it."""

    def __init__(self, url: str, api_key: str, service: EffectService, *, count: int) -> None:
        self._url, self._api_key, self._service, self._count = url, api_key, service, count
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        self.accepted = 0
        self.ended = 0
        self._disturbed_at = time.monotonic()

    @property
    def under_way(self) -> int:
        return self.accepted - self.ended

    def disturb(self) -> None:
        """To be told of every kill: runs may take their time from there on."""
        self._disturbed_at = time.monotonic()

    def has_waited_enough(self, accepted_at: float) -> bool:
        """Whether a run that was accepted then should have ended."""
        return time.monotonic() - max(accepted_at, self._disturbed_at) > _RUN_SECONDS

    def prepare(self) -> None:
        """Makes the prompt and registers the documents."""
        with self._client() as client:
            self._until_answered(lambda: client.create_prompt(name=PROMPT, template=TEMPLATE, schema=PROMPT_SCHEMA))
            for shape in SHAPES:
                document = json.dumps(shape.document)
                self._until_answered(lambda document=document: client.register_workflow(document))  # type: ignore[misc]  # a default of a lambda

    def perform(self, jobs: Sequence[Job]) -> list[JobSeen]:
        """All jobs, in order, as many at once as there are users; returns when each has ended, or is given up."""
        with ThreadPoolExecutor(self._count, thread_name_prefix="user") as pool:
            try:
                return list(pool.map(self.perform_one, jobs))
            except BaseException:
                self.stopped.set()
                raise

    def perform_one(self, job: Job) -> JobSeen:
        runs: list[RunSeen] = []
        with self._client() as client:
            try:
                runs.append(self._run(client, job))
                if (job.shape.reruns_from is not None or job.shape.redrives) and runs[0].state == "succeeded":
                    runs.append(self._run(client, job, earlier=runs[0].run_id))
            except (AgentflowError, NotAccepted) as error:
                return JobSeen(job=job, runs=tuple(runs), problem=f"{type(error).__name__}: {error}")
        return JobSeen(job=job, runs=tuple(runs))

    def _run(self, client: AgentflowClient, job: Job, *, earlier: str | None = None) -> RunSeen:
        def submit() -> RunDocument:
            if earlier is not None:
                nodes = [job.shape.reruns_from] if job.shape.reruns_from is not None else []
                return client.rerun(
                    earlier, from_nodes=nodes, failed_items=job.shape.redrives, idempotency_key=f"{job.key}-again"
                )
            name, inputs = str(job.shape.document["name"]), {**job.inputs, "service": self._service.host}
            return client.submit_run(name, inputs=inputs, budget_cents=BUDGET_CENTS, idempotency_key=job.key, version=1)

        run_id = self._until_answered(submit)["run_id"]
        with self._lock:
            self.accepted += 1
        try:
            return _Watch(client, job, run_id, self, self._service).until_ended()
        finally:
            with self._lock:
                self.ended += 1

    def _until_answered(self, ask: Callable[[], _Answer]) -> _Answer:
        """The answer to a request that may be repeated: whoever does not get one asks again."""
        deadline = time.monotonic() + _ACCEPTANCE_SECONDS
        while not self.stopped.is_set():
            try:
                return ask()
            except (ApiUnreachable, ApiRequestFailed) as error:
                if not _is_away(error) or time.monotonic() > deadline:
                    raise NotAccepted(str(error)) from error
            self.stopped.wait(_PAUSE_SECONDS)
        raise NotAccepted("the suite was stopped")

    def _client(self) -> AgentflowClient:
        return AgentflowClient(self._url, api_key=self._api_key, timeout_seconds=15.0)


class _Watch:
    """One user's eyes on one run, which they decide, deliver to or cancel as its shape says."""

    def __init__(self, client: AgentflowClient, job: Job, run_id: str, users: Users, service: EffectService) -> None:
        self._client, self._job, self._run_id = client, job, run_id
        self._users, self._service = users, service
        self._began = time.monotonic()
        self._wanted: list[Callable[[], bool]] = []
        if job.shape.approves:
            self._wanted.append(self._approve)
        if job.shape.resolves:
            self._wanted.append(self._resolve)
        if job.shape.delivers:
            self._wanted.append(self._deliver)
        if job.shape.pauses:
            self._wanted.append(self._pause)
        if job.shape.cancels:
            self._wanted.append(self._cancel)
        self._last: RunDocument | None = None
        self._resumes_at = 0.0

    def until_ended(self) -> RunSeen:
        state = "submitted"
        while not self._users.stopped.is_set() and not self._users.has_waited_enough(self._began):
            with contextlib.suppress(ApiUnreachable, ApiRequestFailed):
                self._last = self._client.get_run(self._run_id)
                state = self._last["state"]
            if state in FINAL_STATES:
                break
            self._act()
            self._users.stopped.wait(min(_FIRST_LOOK_SECONDS + self._seconds() / 10, _LONGEST_LOOK_SECONDS))
        last = self._last
        error = last["error"] if last is not None else None
        return RunSeen(
            run_id=self._run_id,
            state=state,
            outputs=last["outputs"] if last is not None else None,
            error=f"{error['code']}: {error['message']} ({error['node_id']})" if error else None,
            seconds=self._seconds(),
        )

    def _act(self) -> None:
        """Does what is to be done, once each; what was not answered, or came too early, is tried at the next look."""
        for action in list(self._wanted):
            with contextlib.suppress(ApiUnreachable, ApiRequestFailed):
                if action():
                    self._wanted.remove(action)

    def _approve(self) -> bool:
        found = self._waiting("approval")
        for approval in found:
            self._client.decide(
                approval["approval_id"],
                approve=True,
                subject_digest=approval["subject_digest"],
                idempotency_key=f"{self._job.key}-decision",
            )
        return bool(found)

    def _resolve(self) -> bool:
        """Says of every step in doubt what its service knows; never done, because there may be others."""
        for doubt in self._waiting("in_doubt"):
            with contextlib.suppress(ApiUnreachable, ApiRequestFailed):
                shown = self._client.get_approval(doubt["approval_id"])["show"]
                effect = effect_asked_for(shown["tool"], shown["arguments"])
                is_done = self._service.has_performed(effect)
                self._client.resolve_doubt(
                    doubt["approval_id"],
                    resolution="performed" if is_done else "not_performed",
                    subject_digest=doubt["subject_digest"],
                    output=_answer(shown["tool"], effect) if is_done else None,
                    idempotency_key=f"{doubt['approval_id']}-word",
                )
        return False

    def _waiting(self, kind: str) -> list[ApprovalDocument]:
        found = self._client.list_approvals(run_id=self._run_id)["items"]
        return [gate for gate in found if gate["kind"] == kind]

    def _deliver(self) -> bool:
        self._client.deliver_event(self._run_id, f"paid {self._job.tag}", {"cents": 5})
        return True

    def _pause(self) -> bool:
        """Pauses, and wants to let it go on from then on."""
        self._client.pause_run(self._run_id)
        self._resumes_at = self._seconds() + _PAUSED_SECONDS
        self._wanted.append(self._resume)
        return True

    def _resume(self) -> bool:
        if self._seconds() < self._resumes_at:
            return False
        self._client.resume_run(self._run_id)
        return True

    def _cancel(self) -> bool:
        if self._seconds() < _CANCEL_AFTER_SECONDS or not self._is_there():
            return False
        self._client.cancel_run(self._run_id)
        return True

    def _is_there(self) -> bool:
        """Whether the node that its user waits for is under way."""
        nodes = self._last["nodes"] if self._last is not None else []
        wanted = self._job.shape.cancels_at
        return wanted is None or any(node["id"] == wanted and node["state"] == "running" for node in nodes)

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _answer(tool: str, effect: Effect) -> dict[str, Any]:
    """The output of a step that was performed, as its tool would have given it."""
    if tool.startswith("mcp:"):
        return {"text": json.dumps(effect.receipt), "structured": effect.receipt, "blobs": []}
    return {"status": 200, "headers": {}, "json": effect.receipt}


def _is_away(error: ApiUnreachable | ApiRequestFailed) -> bool:
    return isinstance(error, ApiUnreachable) or error.status >= 500
