"""Which histories of a live server are replayed: some of each kind, the latest first."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from workflows.list_filter import quoted

#: A workflow's name is read of each execution; a search for a rare one ends after so many for each that is wanted.
_LOOKED_AT_FOR_EACH = 50
_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A choice of executions; what is None does not matter."""

    limit: int
    started_after: datetime | None = None
    #: The name of a registered workflow.
    workflow_name: str | None = None
    #: A run with its shards, in all the histories that it went through.
    run_id: str | None = None


class ReplaySample:
    """Executions of one Temporal namespace, of every organisation in it."""

    def __init__(self, temporal: Client, workflow_types: Sequence[str]) -> None:
        self._temporal, self._workflow_types = temporal, tuple(workflow_types)
        self._names: dict[str, str | None] = {}

    async def executions(self, selection: Selection) -> AsyncIterator[WorkflowExecution]:
        """Those of the selection, in turn of each type, running and closed: a map's shards must not crowd out runs.

        Each once, though one that closes meanwhile is listed as both. Raises RPCError.
        """
        kinds = [self._temporal.list_workflows(query, page_size=_PAGE) for query in self._queries(selection)]
        seen: set[tuple[str, str]] = set()
        looked_at = 0
        while kinds and looked_at < selection.limit * _LOOKED_AT_FOR_EACH:
            for kind in list(kinds):
                execution = await anext(kind, None)
                if execution is None:
                    kinds.remove(kind)
                    continue
                looked_at += 1
                key = (execution.id, execution.run_id)
                if key in seen or not await self._is_of(execution, selection.workflow_name):
                    continue
                seen.add(key)
                yield execution
                if len(seen) == selection.limit:
                    return

    async def history(self, execution: WorkflowExecution) -> WorkflowHistory | None:
        """The history; None when it is gone since, as retention is. Raises RPCError."""
        handle = self._temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            return await handle.fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    def _queries(self, selection: Selection) -> list[str]:
        parts = []
        if selection.started_after is not None:
            parts.append(f"StartTime >= {quoted(selection.started_after.isoformat())}")
        if selection.run_id is not None:
            run_id = selection.run_id
            parts.append(f"(WorkflowId = {quoted(run_id)} OR WorkflowId STARTS_WITH {quoted(f'{run_id}/')})")
        return [
            " AND ".join([f"WorkflowType = {quoted(workflow_type)}", f"ExecutionStatus {status} 'Running'", *parts])
            for workflow_type in self._workflow_types
            for status in ("=", "!=")
        ]

    async def _is_of(self, execution: WorkflowExecution, workflow_name: str | None) -> bool:
        if workflow_name is None:
            return True
        # A shard is named after its run.
        run_id = execution.id.partition("/")[0]
        if run_id not in self._names:
            self._names[run_id] = await self._name_of(run_id)
        return workflow_name == self._names[run_id]

    async def _name_of(self, run_id: str) -> str | None:
        """What `run_start` or `child_runs` wrote: `NAME version N`."""
        try:
            description = await self._temporal.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        metadata = description.raw_description.execution_config.user_metadata
        if not metadata.HasField("summary"):
            return None
        # Not by the description: a run below another has its summary from the workflow of that one, and bound to it.
        [summary] = await self._temporal.data_converter.decode([metadata.summary], [str])
        return str(summary).rpartition(" version ")[0]
