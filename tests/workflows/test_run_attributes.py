"""Runs in Temporal's own lists: found by what they run and what they came to, on clusters that know how, and not."""

from collections.abc import AsyncIterator

import pytest
from temporalio.api.operatorservice.v1 import RemoveSearchAttributesRequest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowFailureError

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from agentflow.settings import Settings
from cli.embedded.temporal_server import TemporalDevServer
from tests.scripted_provider import ScriptedProvider
from tests.workflows.documents import Node, dag, large_map, projection
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded, until
from workflows.attribute_names import ATTRIBUTE_NAMES
from workflows.attribute_registry import look_for_attributes
from workflows.dag_run import AgentDag
from workflows.run_attributes import attributes_of_run
from workflows.service import RunRequest
from workflows.temporal_connection import connect_temporal


@pytest.fixture(scope="module")
async def forgetful(
    database_url: str, own_server: TemporalDevServer, provider: ScriptedProvider
) -> AsyncIterator[Platform]:
    """A platform whose cluster forgets its search attributes after the platform has looked for them."""
    address = own_server.address
    temporal = await connect_temporal(Settings(temporal_address=address))
    await look_for_attributes(temporal)
    await temporal.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="default", search_attributes=ATTRIBUTE_NAMES)
    )
    settings = platform_settings(database_url, provider, temporal_address=address)
    async with running_platform(settings, temporal, provider) as platform:
        yield platform


def broken(node_id: str) -> Node:
    return projection(node_id, {"v": "1 / inputs.zero"})


def below(node_id: str, *nodes: Node) -> Node:
    config = {"inputs": {"zero": "inputs.zero"}, "nodes": list(nodes), "outputs": {}}
    return {"id": node_id, "type": "workflow", "config": config}


async def found(temporal: Client, query: str, count: int) -> list[str]:
    """The ids of the workflows that a list with `query` shows, once there are so many."""

    async def look() -> list[str] | None:
        ids = [each.id async for each in temporal.list_workflows(query)]
        return ids if len(ids) == count else None

    return sorted(await until(look, f"{count} workflows with {query}"))


async def written(temporal: Client, run_id: str) -> int:
    """How often the run wrote search attributes after its start."""
    history = await temporal.get_workflow_handle(run_id).fetch_history()
    return sum(event.HasField("upsert_workflow_search_attributes_event_attributes") for event in history.events)


async def test_a_run_is_found_by_its_workflow_its_organisation_and_its_outcome(platform: Platform, org_id: str) -> None:
    nodes = [projection(f"n{at}", {"v": "1"}) for at in range(5)]
    run_id = succeeded(await platform.run(org_id, dag("found", *nodes))).run.run_id

    query = (
        f"AgentflowOrganisation = '{org_id}' AND AgentflowWorkflow = 'found' AND AgentflowVersion = '1' "
        "AND AgentflowOutcome = 'succeeded' AND AgentflowFailedNode = '-'"
    )
    assert [run_id] == await found(platform.temporal, query, 1)
    assert 1 == await written(platform.temporal, run_id)


async def test_a_run_that_failed_is_found_by_its_node_and_so_is_the_one_below_it(
    platform: Platform, org_id: str
) -> None:
    run_id = (await platform.run(org_id, dag("lost", below("child", broken("divide"))), {"zero": 0})).run.run_id

    mine = f"AgentflowOrganisation = '{org_id}' AND AgentflowOutcome = 'failed'"
    assert [run_id] == await found(platform.temporal, f"{mine} AND AgentflowFailedNode = 'child'", 1)
    [child] = await found(platform.temporal, f"{mine} AND AgentflowFailedNode = 'divide'", 1)
    assert child.startswith(f"{run_id}-")


async def test_a_cancelled_run_is_found_as_such(platform: Platform, org_id: str) -> None:
    await platform.register(org_id, dag("stopped", {"id": "event", "type": "wait", "config": {"event": "never"}}))
    run_id = await platform.submit(org_id, "stopped")
    await found(platform.temporal, f"AgentflowOrganisation = '{org_id}' AND AgentflowOutcome = 'running'", 1)

    await platform.service.cancel(org_id=org_id, run_id=run_id)

    query = f"AgentflowOrganisation = '{org_id}' AND AgentflowOutcome = 'cancelled'"
    assert [run_id] == await found(platform.temporal, query, 1)


async def test_a_run_keeps_its_attributes_in_the_next_history(platform: Platform, org_id: str) -> None:
    names = [f"n{at}" for at in range(8)]
    nodes = [projection(name, {}, depends=names[at - 1 : at] if at else []) for at, name in enumerate(names)]
    await platform.register(org_id, dag("long", *nodes))
    request = RunRequest(
        workflow_name="long", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

    handle = await platform.temporal.start_workflow(
        AgentDag.run,
        RunStart(run=reference, history_limit_events=20),
        id=run.run_id,
        task_queue=RUNS_QUEUE,
        search_attributes=attributes_of_run(org_id=org_id, workflow_name="long", workflow_version="1"),
    )
    succeeded(await platform.ended(org_id, run.run_id))

    mine = f"AgentflowOrganisation = '{org_id}' AND AgentflowWorkflow = 'long'"
    assert [run.run_id] == await found(platform.temporal, f"{mine} AND AgentflowOutcome = 'succeeded'", 1)
    first = platform.temporal.get_workflow_handle(run.run_id, run_id=handle.first_execution_run_id)
    assert len((await first.fetch_history()).events) < len(names) * 6


async def test_the_shards_of_a_map_are_found_with_their_run(platform: Platform, org_id: str) -> None:
    document = dag("shards", large_map("each", "inputs.numbers", {"v": "item"}, batch=1, window=50))
    run_id = succeeded(await platform.run(org_id, document, {"numbers": list(range(210))})).run.run_id

    ids = await found(platform.temporal, f"AgentflowOrganisation = '{org_id}' AND AgentflowWorkflow = 'shards'", 2)

    assert [run_id] == [each for each in ids if "/" not in each]


async def test_the_failure_of_a_run_says_which_node_failed_and_why(platform: Platform, org_id: str) -> None:
    run_id = (await platform.run(org_id, dag("why", broken("divide")), {"zero": 0})).run.run_id

    with pytest.raises(WorkflowFailureError) as failure:
        await platform.temporal.get_workflow_handle(run_id).result()

    assert str(failure.value.cause).startswith("expression.failed: node 'divide' failed: expression.failed: ")


async def test_the_details_of_a_run_tell_where_its_nodes_stand(platform: Platform, org_id: str) -> None:
    document = dag("told", projection("fine", {"v": "1"}), broken("divide"))
    run_id = (await platform.run(org_id, document, {"zero": 0})).run.run_id

    handle = platform.temporal.get_workflow_handle(run_id)
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)

    assert metadata.current_details == (
        "**2 nodes**: 1 failed, 1 succeeded\n\n**node 'divide' failed: expression.failed**\n\n"
        f"- `divide`: failed\n- `fine`: succeeded\n\nMore: `agentctl workflow status {run_id}`"
    )


async def test_where_the_cluster_knows_no_attributes_runs_go_on_without_them(forgetful: Platform, org_id: str) -> None:
    document = dag(
        "unfound",
        below("child", projection("a", {"v": "1"})),
        large_map("each", "inputs.numbers", {"v": "item"}, batch=1, window=50),
    )
    inputs = {"zero": 0, "numbers": list(range(210))}

    run_ids = [succeeded(await forgetful.run(org_id, document, inputs)).run.run_id for _ in range(2)]

    assert [0, 0] == [await written(forgetful.temporal, run_id) for run_id in run_ids]
