"""What makes one step the same step: its key in the journal, and a digest of everything that its effect depends on."""

from dataclasses import asdict

from activities.payloads import StepCall
from agentflow.digest import json_digest, keyed_digest
from runs.journal_repository import StepRequest, run_id_below
from runs.models import StepKey


def step_key(call: StepCall) -> StepKey:
    """The journal's key of a step, independent of Temporal's run ids and attempts."""
    return StepKey(
        org_id=call.run.org_id,
        run_id=call.run.run_id,
        node_id=call.node_id,
        item_index=call.item_index,
        generation=call.generation,
        part=call.part,
    )


def child_run_id(call: StepCall) -> str:
    """The one run below a step, whoever asks how often."""
    return run_id_below(step_key(call))


def step_request(call: StepCall, *, kind: str, attempt: int) -> StepRequest:
    """The step as the journal knows it."""
    outputs = [f"{node_id}={digest}" for node_id, digest in sorted(call.outputs.items())]
    if call.pages is not None:
        outputs.append(f"pages={call.pages}")
    if call.local or call.local_refs:
        outputs.append(f"local={json_digest({'values': call.local, 'refs': call.local_refs})}")
    if call.items_to is not None or call.item_refs:
        outputs.append(f"items={call.items_from}-{call.items_to}:{','.join(call.item_refs)}")
    if call.agent is not None:
        outputs.append(f"agent={json_digest(asdict(call.agent))}")
    digest = keyed_digest(
        call.run.plan_digest, call.run.inputs_digest, call.node_id, call.item_index, call.prompt, *outputs
    )
    if kind == "workflow":
        # The run below is part of what is asked for: it gives the same result however often it is asked.
        digest = keyed_digest(digest, child_run_id(call))
    return StepRequest(
        key=step_key(call), kind=kind, request_digest=digest, attempt=attempt, item_count=call.item_count
    )
