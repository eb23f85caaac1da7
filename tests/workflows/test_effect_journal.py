"""What the effect journal makes of attempts that meet: a step is performed once as far as that can be had."""

from collections.abc import Sequence

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from agentflow.statements import Rows, Statement
from cas.price_book import PriceBook
from cas.router import Router
from runs.models import RunState, StepState
from tests.scripted_provider import Answer, Hold
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
    # The journal knows that it has ended before Temporal does.
    await platform.temporal.get_workflow_handle(first.run_id).result()
    result = await platform.temporal.execute_workflow(
        AgentDag.run, RunStart(run=reference), id=first.run_id, task_queue=RUNS_QUEUE
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
    await platform.provider.received(before + 1)

    await platform.rows(_TAKE_OVER, run_id=run_id)
    platform.provider.release()

    view = succeeded(await platform.ended(org_id, run_id))
    (step,) = await platform.steps(org_id, run_id)
    assert before + 2 == len(platform.provider.requests)
    assert (StepState.COMMITTED, 2, 3, 1) == (step.state, step.attempt, step.fence, step.possible_duplicates)
    bills = [row["amount_micro_usd"] for row in await platform.rows(_USAGE, run_id=run_id)]
    assert 2 == len(bills)
    assert sum(bills) == view.run.cost_micro_usd
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
    # The other attempt holds the step for longer than this one may wait for it.
    once = {"attempts": 1}
    config = {"output_schema": schema}
    node = llm("ask", "'x'", config=config, retry=once, timeout={"total": 3}, policy={"cache": False})
    await platform.register(org_id, dag("taken", node))
    run_id = await platform.submit(org_id, "taken")
    await platform.provider.received(before + 1)

    await platform.rows(
        "UPDATE steps SET fence = fence + 1, attempt = 9 WHERE run_id = :run_id RETURNING fence", run_id=run_id
    )
    platform.provider.release()
    view = await platform.ended(org_id, run_id)

    (bill,) = await platform.rows(_USAGE, run_id=run_id)
    assert bill["amount_micro_usd"] == view.run.cost_micro_usd
    (step,) = await platform.steps(org_id, run_id)
    assert (StepState.CLAIMED, 9) == (step.state, step.attempt)


async def test_a_recorded_step_is_given_back_even_when_no_model_could_serve_it_any_more(
    platform: Platform, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.prompt(org_id, "ask", "Model gone {{ content }}")
    first = succeeded(await platform.run(org_id, dag("gone", llm("ask", "'x'"), outputs={"text": "ask.output"}))).run
    monkeypatch.setattr(platform.resources, "router", Router((), PriceBook(())))

    reference = RunRef(
        org_id=org_id, run_id=first.run_id, plan_digest=first.plan_digest, inputs_digest=first.inputs_digest
    )
    # The journal knows that it has ended before Temporal does.
    await platform.temporal.get_workflow_handle(first.run_id).result()
    result = await platform.temporal.execute_workflow(
        AgentDag.run, RunStart(run=reference), id=first.run_id, task_queue=RUNS_QUEUE
    )

    assert ("succeeded", first.outputs_digest) == (result.state, result.outputs_digest)


async def test_money_set_aside_in_a_flight_whose_acknowledgement_was_lost_is_given_back(
    platform: Platform, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.prompt(org_id, "ask", "Lost {{ content }}")
    database = platform.resources.database
    fly, losses = database.fly, iter([True])

    async def losing_the_first(statements: Sequence[Statement]) -> list[Rows]:
        rows = await fly(statements)
        if next(losses, False):
            raise DBAPIError(None, None, psycopg.OperationalError("lost"), connection_invalidated=True)
        return rows

    monkeypatch.setattr(database, "fly", losing_the_first)
    document = dag("lost", llm("ask", "'x'", retry=QUICK_RETRY, policy={"cache": False}))

    view = succeeded(await platform.run(org_id, document))

    states = await platform.rows(
        "SELECT state FROM reservations WHERE run_id = :run_id ORDER BY created_at", run_id=view.run.run_id
    )
    assert ["released", "settled"] == [row["state"] for row in states]
    assert 1 == len(await platform.rows(_USAGE, run_id=view.run.run_id))


async def test_a_failure_whose_message_no_database_could_hold_is_recorded_with_its_bill(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Half {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.script(Answer(text='{"\\ud800": 1}'))
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    node = llm("ask", "'x'", config={"output_schema": schema}, retry=QUICK_RETRY)

    view = await platform.run(org_id, dag("half", node), budget=10_000_000)

    assert (RunState.FAILED, "scl.schema_violation") == (view.run.state, view.run.error_code)
    assert before + 1 == len(platform.provider.requests)
    (bill,) = await platform.rows(_USAGE, run_id=view.run.run_id)
    assert bill["amount_micro_usd"] == view.run.cost_micro_usd > 0
