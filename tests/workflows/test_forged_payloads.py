"""Whoever reaches Temporal without the keys: nothing that they make up or move is taken for a run's own."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.gate_payloads import DECIDE, Decision
from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from agentflow.ids import new_id
from agentflow.settings import Settings
from cli.embedded.temporal_server import TemporalDevServer
from runs.models import RunState
from tests.deadline import until
from tests.scripted_provider import ScriptedProvider
from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded
from tests.workflows.test_gates import approval, decide, opened, started
from workflows.dag_run import AgentDag
from workflows.history_limits import PAYLOAD_REFUSED
from workflows.replay_gate import ReplayGate
from workflows.replay_sample import Selection
from workflows.temporal_connection import connect_temporal, data_converter
from workflows.worker import WORKFLOWS

KEYS = {"a": "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w="}
DOCUMENT = dag(
    "asked", approval("ask", approvers=["ada"]), projection("send", {"by": "ask.output.by"}, depends=["ask"]),
    outputs={"sent": "send.output"},
)  # fmt: skip


@pytest.fixture(scope="module")
async def own_platform(
    own_server: TemporalDevServer, database_url: str, provider: ScriptedProvider
) -> AsyncIterator[Platform]:
    settings = platform_settings(
        database_url, provider, temporal_address=own_server.address, payload_keys=KEYS, payload_key_id="a"
    )
    async with running_platform(settings, await connect_temporal(settings), provider) as platform:
        yield platform


@pytest.fixture
async def intruder(own_platform: Platform) -> Client:
    """Reaches Temporal, and has no keys."""
    return await connect_temporal(Settings(temporal_address=own_platform.resources.settings.temporal_address))


@pytest.fixture
def org_id() -> str:
    return new_id("org")


async def test_a_decision_without_a_seal_is_rejected_and_the_run_waits_on(
    own_platform: Platform, intruder: Client, org_id: str
) -> None:
    run_id = await started(own_platform, org_id, DOCUMENT)
    gate = await opened(own_platform, org_id, run_id)
    forged = Decision(
        gate_id=gate.gate_id,
        subject_digest=str(gate.subject_digest),
        decision_id="forged",
        approved=True,
        decided_by="ada",
    )

    with pytest.raises(WorkflowUpdateFailedError):
        await intruder.get_workflow_handle(run_id).execute_update(DECIDE, forged)
    await decide(own_platform, gate)

    assert {"sent": {"by": "ada"}} == succeeded(await own_platform.ended(org_id, run_id)).outputs


async def test_a_sealed_decision_of_another_run_is_rejected(own_platform: Platform, org_id: str) -> None:
    run_id, other_id = [await started(own_platform, org_id, {**DOCUMENT, "name": name}) for name in ("one", "two")]
    gate, other = await opened(own_platform, org_id, run_id), await opened(own_platform, org_id, other_id)
    await decide(own_platform, gate)
    history = await own_platform.temporal.get_workflow_handle(run_id).fetch_history()
    [accepted] = [
        event for event in history.events if event.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    sealed = accepted.workflow_execution_update_accepted_event_attributes.accepted_request.input.args.payloads

    assert PAYLOAD_REFUSED == await failure_of_decision(own_platform, other_id, Payloads(payloads=list(sealed)))
    await decide(own_platform, other)
    assert RunState.SUCCEEDED is (await own_platform.ended(org_id, other_id)).run.state


async def test_a_decision_whose_seal_is_made_up_is_rejected_and_the_run_waits_on(
    own_platform: Platform, org_id: str
) -> None:
    run_id = await started(own_platform, org_id, DOCUMENT)
    gate = await opened(own_platform, org_id, run_id)
    metadata = {"encoding": b"binary/encrypted", "encryption-key-id": b"a"}
    forged = Payloads(payloads=[Payload(metadata=metadata, data=b"x" * 80)])

    assert PAYLOAD_REFUSED == await failure_of_decision(own_platform, run_id, forged)
    await decide(own_platform, gate)

    assert {"sent": {"by": "ada"}} == succeeded(await own_platform.ended(org_id, run_id)).outputs


async def test_a_run_without_a_seal_does_not_start(own_platform: Platform, intruder: Client, org_id: str) -> None:
    run = await recorded(own_platform, org_id)

    failure = await failure_of(intruder, run, workflow_id=new_id("run"))

    assert failure == PAYLOAD_REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "run.mismatch"),
        ({"org_id": "org_other"}, "run.not_found"),
        ({"run_id": "run_other"}, "run.not_found"),
        ({"plan_digest": "0" * 64}, "run.mismatch"),
        ({"inputs_digest": "0" * 64}, "run.mismatch"),
    ],
    ids=["nothing", "organisation", "run", "plan", "inputs"],
)
async def test_a_workflow_that_says_other_than_what_is_recorded_ends_before_it_begins(
    own_platform: Platform, org_id: str, changes: dict[str, str], code: str
) -> None:
    run = await recorded(own_platform, org_id)
    other = await recorded(own_platform, org_id, text="another letter")
    digests = {"plan_digest": other.plan_digest, "inputs_digest": other.inputs_digest}
    wanted: dict[str, Any] = {name: digests.get(name, value) for name, value in changes.items()}
    forged = replace(run, **wanted)

    failure = await failure_of(own_platform.temporal, forged, workflow_id=new_id("run"))

    assert code == failure
    view = await own_platform.service.get_run(org_id=org_id, run_id=run.run_id)
    assert RunState.SUCCEEDED is view.run.state


async def test_sealed_histories_replay_by_the_name_of_their_workflow_those_of_runs_below_too(
    own_platform: Platform, org_id: str
) -> None:
    name = f"below-{new_id('x')}"
    await own_platform.register(org_id, dag(name, projection("only", {"text": "inputs.text"})))
    below = {"id": "below", "type": "workflow", "config": {"name": name, "inputs": {"text": "inputs.text"}}}
    succeeded(await own_platform.run(org_id, dag(f"above-{name}", below), {"text": "the letter"}))
    gate = ReplayGate(WORKFLOWS, converter=data_converter(own_platform.resources.settings))

    report = await gate.check(own_platform.temporal, Selection(limit=5, workflow_name=name))

    assert (1, []) == (report.replayed, report.failures)


async def test_a_run_whose_key_is_unknown_waits_and_others_go_on_beside_it(own_platform: Platform, org_id: str) -> None:
    run = await recorded(own_platform, org_id)
    stranger = await connect_temporal(
        own_platform.resources.settings.model_copy(
            update={"payload_keys": {"b": SecretStr(KEYS["a"])}, "payload_key_id": "b"}
        )
    )
    handle = await stranger.start_workflow(AgentDag.run, RunStart(run=run), id=new_id("run"), task_queue=RUNS_QUEUE)

    async def has_failed_task() -> bool:
        history = await handle.fetch_history()
        return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)

    await until(has_failed_task, "a workflow task that fails")
    await recorded(own_platform, org_id, text="another letter")
    still = await handle.describe()
    await handle.terminate()

    assert WorkflowExecutionStatus.RUNNING is still.status


async def recorded(platform: Platform, org_id: str, *, text: str = "the letter") -> RunRef:
    document = dag(f"plain-{new_id('x')}", projection("only", {"text": "inputs.text"}))
    run_id = await started(platform, org_id, document, text=text)
    run = (await platform.ended(org_id, run_id)).run
    return RunRef(org_id=org_id, run_id=run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)


async def failure_of_decision(platform: Platform, run_id: str, args: Payloads) -> str:
    """The type of the failure with which a run answers a decision that is sent as it is."""
    completed = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
    answer = await platform.temporal.workflow_service.update_workflow_execution(
        UpdateWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=run_id),
            wait_policy=WaitPolicy(lifecycle_stage=completed),
            request=Request(meta=Meta(update_id=new_id("forged")), input=Input(name=DECIDE, args=args)),
        ),
        timeout=timedelta(seconds=60),
    )
    return answer.outcome.failure.application_failure_info.type


async def failure_of(client: Client, run: RunRef, *, workflow_id: str) -> str | None:
    """The type of the failure with which a workflow ends that somebody else starts."""
    handle = await client.start_workflow(AgentDag.run, RunStart(run=run), id=workflow_id, task_queue=RUNS_QUEUE)
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    cause: Any = failure.value.cause
    while cause.cause is not None:
        cause = cause.cause
    assert isinstance(cause, ApplicationError)
    return cause.type
