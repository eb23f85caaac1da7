"""Whose step is next: the priority and the fairness key of a run reach its workflow and its shards."""

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Priority
from temporalio.client import WorkflowHandle

from tests.workflows.documents import dag, large_map, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.errors import SpecInvalid


async def started_with(handle: WorkflowHandle[Any, Any]) -> Priority:
    async for event in handle.fetch_history_events():
        return event.workflow_execution_started_event_attributes.priority
    raise AssertionError("a history begins with its start")


async def test_a_documents_priority_and_key_go_with_the_run(platform: Platform, org_id: str) -> None:
    document = dag("urgent", projection("only", {}), priority=2, fairness_key="letters")
    view = succeeded(await platform.run(org_id, document))

    handle = platform.temporal.get_workflow_handle(view.run.run_id)
    expected = Priority(priority_key=2, fairness_key=f"{org_id}/letters", fairness_weight=1.0)
    assert expected == await started_with(handle)


async def test_a_run_that_says_nothing_has_its_organisations_share(platform: Platform, org_id: str) -> None:
    view = succeeded(await platform.run(org_id, dag("plain", projection("only", {}))))

    handle = platform.temporal.get_workflow_handle(view.run.run_id)
    assert Priority(priority_key=3, fairness_key=org_id, fairness_weight=1.0) == await started_with(handle)


async def test_the_shards_of_a_large_map_leave_the_steps_of_others_the_larger_share(
    platform: Platform, org_id: str
) -> None:
    document = dag("bulky", large_map("each", "inputs.numbers", {"v": "item"}, batch=2, window=20))
    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(500))}))

    async def look() -> list[str]:
        listed = platform.temporal.list_workflows(f"WorkflowId STARTS_WITH '{view.run.run_id}/'")
        return [execution.id async for execution in listed]

    (shard,) = await until(look)

    handle = platform.temporal.get_workflow_handle(shard)
    expected = Priority(priority_key=3, fairness_key=f"{org_id}+bulk", fairness_weight=0.125)
    assert expected == await started_with(handle)


async def test_a_priority_that_there_is_not_is_told_with_the_rest(platform: Platform, org_id: str) -> None:
    document = json.dumps(dag("wrong", projection("only", {}), priority=6, fairness_key="a b"))

    with pytest.raises(SpecInvalid) as refusal:
        await platform.service.validate(org_id=org_id, text=document)

    assert {"$.priority", "$.fairness_key"} == {problem.path for problem in refusal.value.problems}
