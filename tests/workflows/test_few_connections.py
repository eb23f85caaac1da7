"""A worker with hardly a connection to its database: steps wait for their turn, and never for each other."""

import json
from collections.abc import AsyncIterator

import pytest

from agentflow.settings import Settings
from cli.embedded.temporal_server import TemporalDevServer
from tests.deadline import deadline
from tests.scripted_provider import ScriptedProvider
from tests.workflows.agency import Agency, asks, says
from tests.workflows.documents import agent, dag
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded
from workflows.temporal_connection import connect_temporal

#: More than the two connections that the pool opens at most, and less than what a step would wait for one.
STEPS, PATIENCE_SECONDS = 8, 20


@pytest.fixture(scope="module")
async def narrow(
    database_url: str, own_server: TemporalDevServer, provider: ScriptedProvider
) -> AsyncIterator[Platform]:
    address = own_server.address
    settings = platform_settings(database_url, provider, temporal_address=address, db_pool_size=1)
    temporal = await connect_temporal(Settings(temporal_address=address))
    async with running_platform(settings, temporal, provider) as platform:
        yield platform


async def test_the_calls_of_an_agent_within_transactions_do_not_wait_for_each_other(
    narrow: Platform, org_id: str
) -> None:
    agency = Agency(narrow, org_id)
    calls = asks(*(("records_put", {"collection": "few", "key": f"k{at}", "value": at}) for at in range(STEPS)))

    async with deadline("steps within their transactions on two connections", seconds=PATIENCE_SECONDS):
        view = succeeded(await agency.run(agent("a", "'x'", "records.put"), calls, says("kept")))

    assert {"answer": "kept"} == view.outputs
    assert [{"version": 1}] * STEPS == [json.loads(text) for text in agency.told(1)]


async def test_the_items_of_a_map_within_transactions_do_not_wait_for_each_other(narrow: Platform, org_id: str) -> None:
    body = {
        "type": "tool",
        "config": {"tool_name": "records.put", "tool_args": {"collection": "few", "key": "{{ item }}", "value": 1}},
    }
    config = {"over": "inputs.xs", "window": STEPS, "body": body}
    document = dag("narrow", {"id": "put", "type": "map", "config": config})
    items = [f"{place}" for place in range(STEPS)]

    async with deadline("items within their transactions on two connections", seconds=PATIENCE_SECONDS):
        succeeded(await narrow.run(org_id, document, {"xs": items}))

    assert STEPS == len(await narrow.rows("SELECT 1 FROM records WHERE org_id = :org_id", org_id=org_id))
