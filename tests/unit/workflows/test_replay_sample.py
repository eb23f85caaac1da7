"""Which executions a sample has, whatever the server lists while they go on."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

from temporalio.client import Client, WorkflowExecution

from workflows.replay_sample import ReplaySample, Selection


def execution(workflow_id: str, run_id: str = "1") -> WorkflowExecution:
    return cast("WorkflowExecution", SimpleNamespace(id=workflow_id, run_id=run_id))


class Listing:
    """A server that lists what it is told to, by the status that a query asks for."""

    def __init__(self, *, running: list[WorkflowExecution], closed: list[WorkflowExecution]) -> None:
        self._running, self._closed = running, closed

    async def list_workflows(self, query: str, *, page_size: int) -> AsyncIterator[WorkflowExecution]:
        assert page_size
        for each in self._running if "ExecutionStatus = 'Running'" in query else self._closed:
            yield each


async def sampled(listing: Listing, *, limit: int = 10) -> list[tuple[str, str]]:
    sample = ReplaySample(cast("Client", listing), ["AgentDag"])
    return [(each.id, each.run_id) async for each in sample.executions(Selection(limit=limit))]


async def test_an_execution_that_closes_while_it_is_listed_is_taken_once() -> None:
    closing = execution("run_a")

    taken = await sampled(Listing(running=[closing], closed=[closing, execution("run_b")]))

    assert [("run_a", "1"), ("run_b", "1")] == taken


async def test_an_execution_listed_twice_is_not_counted_twice() -> None:
    closing = execution("run_a")

    taken = await sampled(Listing(running=[closing], closed=[closing, execution("run_b")]), limit=2)

    assert [("run_a", "1"), ("run_b", "1")] == taken


async def test_the_histories_of_one_run_are_all_taken() -> None:
    taken = await sampled(Listing(running=[execution("run_a", "2")], closed=[execution("run_a", "1")]))

    assert [("run_a", "2"), ("run_a", "1")] == taken
