"""Task queues on a Temporal server of their own: of single providers, with rates, and shared fairly."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from agentflow.ids import new_id
from agentflow.settings import Settings
from bench.crowd import Crowd, p95
from cli.embedded.temporal_server import TemporalDevServer
from cli.exit_codes import ExitCode
from cli.main import main
from tests.scripted_provider import ScriptedProvider
from tests.workflows.documents import dag, llm, llm_map
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded
from workflows.task_queues import TaskQueues
from workflows.temporal_connection import connect_temporal

PINNED = {"model": "openai/scripted-1"}


@pytest.fixture(scope="module")
async def own_temporal(own_server: TemporalDevServer) -> Client:
    return await connect_temporal(Settings(temporal_address=own_server.address))


@pytest.fixture(scope="module")
async def narrow(database_url: str, own_server: TemporalDevServer, own_temporal: Client) -> AsyncIterator[Platform]:
    """A platform with four slots for model calls, whose vendor takes its time, and with a queue for one provider."""
    async with ScriptedProvider(latency_seconds=0.05) as slow:
        settings = platform_settings(
            database_url,
            slow,
            temporal_address=own_server.address,
            worker_llm_slots=4,
            llm_provider_queues=("openai",),
        )
        async with running_platform(settings, own_temporal, slow, sandboxed=False) as platform:
            yield platform


async def queues_of_steps(platform: Platform, run_id: str) -> dict[str, str]:
    """Activity → its task queue, by the run's history."""
    found: dict[str, str] = {}
    async for event in platform.temporal.get_workflow_handle(run_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            found[scheduled.activity_type.name] = scheduled.task_queue.name
    return found


@pytest.mark.alone
async def test_a_long_list_of_one_organisation_does_not_starve_a_short_one_of_another(narrow: Platform) -> None:
    crowd = Crowd(narrow.resources, narrow.service, narrow.temporal)

    waits = await crowd.measure(big_items=10_000, rounds=8, wait_for_end=False)

    # The long one was at work all the while, and had its share.
    assert waits.big_done_meanwhile > 50
    assert waits.big_done < 10_000
    assert 80 == len(waits.shared)
    assert p95(waits.shared) <= 2 * p95(waits.alone), (p95(waits.alone), p95(waits.shared))


async def test_a_node_that_is_pinned_to_a_provider_with_a_queue_of_its_own_waits_there(
    narrow: Platform, org_id: str
) -> None:
    await narrow.prompt(org_id, "ask", "Whereto {{ content }}")
    free = succeeded(await narrow.run(org_id, dag("free", llm("ask", "'a'"))))
    pinned = succeeded(await narrow.run(org_id, dag("pinned", llm("ask", "'b'", config=PINNED))))

    queues = [(await queues_of_steps(narrow, view.run.run_id))["call_llm"] for view in (free, pinned)]
    assert ["agentflow-llm", "agentflow-llm-openai"] == queues


async def test_a_rate_that_an_operator_sets_holds_and_is_taken_away(
    narrow: Platform,
    own_server: TemporalDevServer,
    org_id: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.address)
    monkeypatch.setenv("LLM_PROVIDER_QUEUES", '["openai"]')
    await narrow.prompt(org_id, "ask", "How fast {{ content }}")
    await narrow.register(org_id, dag("paced", llm_map("each", "inputs.items_", window=20)))

    async def set_rate(rate: str) -> dict[str, Any]:
        arguments = ["queue", "set", "llm", "--rate", rate, "--output", "json"]
        assert ExitCode.OK == await asyncio.to_thread(main, arguments)
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    limited = await set_rate("2")
    (state,) = await TaskQueues(narrow.temporal).states(["llm"])
    run_id = await narrow.submit(org_id, "paced", {"items_": [new_id("item") for _ in range(12)]})
    view = succeeded(await narrow.ended(org_id, run_id))
    freed = await set_rate("none")

    assert (2.0, 2.0, None) == (limited["per_second"], state.per_second, freed["per_second"])
    steps = [step.started_at for step in await narrow.steps(org_id, view.run.run_id)]
    # Twelve steps of 50 ms on four slots take half a second; at two a second, some of them at once, several.
    assert (max(steps) - min(steps)).total_seconds() > 2.5
