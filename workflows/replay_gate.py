"""Whether this code can go on with what other code began: histories are replayed, and must give the same commands."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from workflows.replay_sample import ReplaySample, Selection

#: Histories that are fetched and replayed at once; each may have tens of megabytes.
_AT_ONCE = 4
#: Named, because the SDK would read the code of every loaded module to make a name.
_BUILD_ID = "replay-gate"
#: How the SDK's core quotes a failure in the text of another; its own strings are quoted as Rust quotes them.
_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFailure:
    """A history that this code does not go along with."""

    workflow_id: str
    run_id: str
    #: The workflow task that this code does otherwise.
    event_id: int
    cause: str


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """How a check went; grows while it goes on."""

    replayed: int = 0
    #: Gone between being listed and being fetched.
    gone: int = 0
    failures: list[ReplayFailure] = field(default_factory=list)


Progress = Callable[[ReplayReport], None]


class ReplayGate:
    """Replays histories against the workflow classes of this process."""

    def __init__(
        self, workflows: Sequence[type], *, converter: DataConverter = DataConverter.default, sandboxed: bool = False
    ) -> None:
        self._workflows, self._converter, self._sandboxed = workflows, converter, sandboxed
        # What the core has to say of a failure is in the failure; standard output is the caller's.
        self._runtime = Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="off")))

    @property
    def workflow_types(self) -> list[str]:
        """The names under which Temporal knows the classes."""
        return [str(workflow._Definition.must_from_class(each).name) for each in self._workflows]  # noqa: SLF001

    async def replay(self, history: WorkflowHistory) -> ReplayFailure | None:
        """Why this code does not go along with the history; None when it does."""
        cause = await self._cause(history)
        if cause is None:
            return None
        return ReplayFailure(
            workflow_id=history.workflow_id,
            run_id=history.run_id,
            event_id=await self._first_failing_event(history),
            cause=cause,
        )

    async def check(
        self, temporal: Client, selection: Selection, *, on_progress: Progress = lambda _: None
    ) -> ReplayReport:
        """Replays a sample of a live server's histories; raises RPCError when the server does not answer."""
        sample, report = ReplaySample(temporal, self.workflow_types), ReplayReport()
        executions = sample.executions(selection)
        # A generator gives to one caller at a time.
        turn = asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, selection.limit)):
                    group.create_task(self._work(sample, executions, turn, report, on_progress))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        report.failures.sort(key=lambda failure: (failure.workflow_id, failure.run_id))
        return report

    async def _work(
        self,
        sample: ReplaySample,
        executions: AsyncIterator[WorkflowExecution],
        turn: asyncio.Lock,
        report: ReplayReport,
        on_progress: Progress,
    ) -> None:
        while True:
            async with turn:
                execution = await anext(executions, None)
            if execution is None:
                return
            history = await sample.history(execution)
            if history is None:
                report.gone += 1
                continue
            failure = await self.replay(history)
            report.replayed += 1
            if failure is not None:
                report.failures.append(failure)
            on_progress(report)

    async def _cause(self, history: WorkflowHistory) -> str | None:
        options = {} if self._sandboxed else {"workflow_runner": UnsandboxedWorkflowRunner()}
        replayer = Replayer(
            workflows=self._workflows,
            data_converter=self._converter,
            build_id=_BUILD_ID,
            runtime=self._runtime,
            **options,  # type: ignore[arg-type]  # one keyword, of the right type, or none
        )
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        return None if result.replay_failure is None else _told(result.replay_failure)

    async def _first_failing_event(self, history: WorkflowHistory) -> int:
        """The first workflow task with which the history does not replay: of prefixes, none that is longer does."""
        ends = [
            number
            for number, event in enumerate(history.events)
            if number and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
        ]
        ends = [*ends[1:], len(history.events)]
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            prefix = WorkflowHistory(workflow_id=history.workflow_id, events=history.events[: ends[middle]])
            if await self._cause(prefix) is None:
                low = middle + 1
            else:
                high = middle
        tasks = [
            event.event_id
            for event in history.events[: ends[low]]
            if event.event_type
            in {EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED}
        ]
        return tasks[-1] if tasks else 1


def _told(failure: Exception) -> str:
    """The messages of a failure, from the outermost to its cause, without the core's frame around them."""
    text = str(failure)
    messages = [message.replace('\\"', '"').replace("\\'", "'") for message in _MESSAGE.findall(text)]
    return ": ".join(dict.fromkeys(messages)) or text
