"""What the effect journal makes of attempts that meet: a step is performed once as far as that can be had."""

import asyncio

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.models import StepState
from tests.scripted_provider import Hold
from tests.workflows.documents import QUICK_RETRY, dag, llm, projection
from tests.workflows.platform import Platform, succeeded
from workflows.dag_run import AgentDag

_USAGE = (
    "SELECT amount_micro_usd FROM ledger_entries WHERE run_id = :run_id AND reason = 'usage' AND account <> 'funds'"
)
_TAKE_OVER = "UPDATE steps SET fence = fence + 1 WHERE run_id = :run_id AND node_id = 'ask' RETURNING fence"


async def test_a_run_that_is_executed_again_performs_no_step_again(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Again {{ content }}")
    document = dag(
        "again",
        {"id": "fetch", "type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": {"url": "{{url}}"}}},
        llm("ask", "fetch.output", depends=["fetch"]),
        projection("end", {"text": "ask.output"}, depends=["ask"]),
        outputs={"text": "end.output.text"},
    )
    url = f"{platform.resources.settings.buckets['documents']}/letter.txt"
    first = succeeded(await platform.run(org_id, document, {"url": url})).run
    before = len(platform.provider.requests)
    steps = await platform.steps(org_id, first.run_id)

    reference = RunRef(
        org_id=org_id, run_id=first.run_id, plan_digest=first.plan_digest, inputs_digest=first.inputs_digest
    )
    result = await platform.temporal.execute_workflow(
        AgentDag.run, RunStart(run=reference), id=f"{first.run_id}-again", task_queue=RUNS_QUEUE
    )

    assert ("succeeded", first.outputs_digest) == (result.state, result.outputs_digest)
    assert before == len(platform.provider.requests)
    assert steps == await platform.steps(org_id, first.run_id)
    assert 1 == len(await platform.rows(_USAGE, run_id=first.run_id))
    assert [] == await platform.rows(
        "SELECT state FROM reservations WHERE run_id = :run_id AND state IN ('held', 'uncertain')",
        run_id=first.run_id,
    )


async def test_an_attempt_that_was_replaced_while_it_worked_leaves_its_bill_and_no_result(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Replaced {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    await platform.register(org_id, dag("replaced", llm("ask", "'x'", retry=QUICK_RETRY, policy={"cache": False})))
    run_id = await platform.submit(org_id, "replaced")
    async with asyncio.timeout(30):
        await platform.provider.received(before + 1)

    await platform.rows(_TAKE_OVER, run_id=run_id)
    platform.provider.release()

    view = succeeded(await platform.ended(org_id, run_id))
    (step,) = await platform.steps(org_id, run_id)
    assert before + 2 == len(platform.provider.requests)
    assert (StepState.COMMITTED, 2, 3, 1) == (step.state, step.attempt, step.fence, step.possible_duplicates)
    assert 2 == len(await platform.rows(_USAGE, run_id=run_id))
    assert 2 == view.nodes[0].attempts
    statuses = await platform.rows(
        "SELECT status, error_type FROM spans WHERE run_id = :run_id AND name = 'step ask' ORDER BY attempt",
        run_id=run_id,
    )
    assert [("error", "step.stale_fence"), ("ok", None)] == [(row["status"], row["error_type"]) for row in statuses]


async def test_a_step_that_failed_keeps_what_it_cost_when_another_attempt_has_its_row(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Taken {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"const": "never"}}}
    node = llm("ask", "'x'", config={"output_schema": schema}, retry={"attempts": 1}, policy={"cache": False})
    await platform.register(org_id, dag("taken", node))
    run_id = await platform.submit(org_id, "taken")
    async with asyncio.timeout(30):
        await platform.provider.received(before + 1)

    await platform.rows(
        "UPDATE steps SET fence = fence + 1, attempt = 9 WHERE run_id = :run_id RETURNING fence", run_id=run_id
    )
    platform.provider.release()
    await platform.ended(org_id, run_id)

    assert 1 == len(await platform.rows(_USAGE, run_id=run_id))
    (step,) = await platform.steps(org_id, run_id)
    assert (StepState.CLAIMED, 9) == (step.state, step.attempt)
