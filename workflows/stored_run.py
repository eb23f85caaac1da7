"""A run as it is looked at: everything that is recorded of it, put together, with nothing parsed that can be large."""

from dataclasses import dataclass

from agentflow.blobs import BlobStore
from agentflow.database import Database
from cas.repository import BudgetRepository
from runs.admission_repository import AdmissionRepository
from runs.errors import RunNotFound
from runs.gate_repository import GateRepository
from runs.map_repository import MapJournal
from runs.models import RunState
from runs.repository import RunRepository
from runs.rerun_plan import decode_manifest
from runs.run_view import RunView, view_run
from runs.step_repository import StepRepository
from workflows.plan_outlines import PlanOutlines

#: Of what waits for a person: as many as a page of the list has at most.
_MOST_WAITING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunView:
    """How a run stands, and what went in and came out as it is stored: JSON, perhaps with half a surrogate pair."""

    #: Without inputs and outputs.
    view: RunView
    inputs: bytes
    #: None until the run has succeeded.
    outputs: bytes | None


async def read_stored_run(
    database: Database, blobs: BlobStore, plans: PlanOutlines, *, org_id: str, run_id: str
) -> StoredRunView:
    """How a run stands by now; raises RunNotFound."""
    of_run = {"org_id": org_id, "run_id": run_id}
    async with database.transaction() as session:
        run = await RunRepository(session).get_run(**of_run)
        if run is None:
            raise RunNotFound(run_id=run_id)
        below = await RunRepository(session).runs_below(**of_run)
        journal, gates = StepRepository(session), GateRepository(session)
        steps = await journal.few_steps_of(**of_run)
        summaries = await journal.item_summaries(**of_run)
        maps = await MapJournal(session).maps_of(**of_run)
        gathered = await MapJournal(session).outputs_of(**of_run)
        own_gates = await gates.of_run(**of_run)
        waiting = []
        if run.state is RunState.RUNNING:
            waiting = await gates.list_approvals(**of_run, is_open=True, after="", limit=_MOST_WAITING)
        unsettled = await BudgetRepository(session).unsettled_of_run(**of_run)
        place = await AdmissionRepository(session).place(**of_run) if run.is_queued else None
    known = [run.inputs_digest, run.outputs_digest, run.reuse_digest]
    contents = await blobs.get_all(org_id=org_id, digests=[digest for digest in known if digest is not None])
    reuse, outputs = run.reuse_digest, run.outputs_digest
    view = view_run(
        run,
        await plans.get(org_id=org_id, digest=run.plan_digest),
        steps,
        maps=maps,
        summaries=summaries,
        gates=own_gates,
        below=below,
        manifest=decode_manifest(reuse, contents[reuse]) if reuse is not None else None,
        inputs={},
        outputs=None,
        gathered=gathered,
        queue_place=place,
        waiting=tuple(gate.gate_id for gate in waiting),
        held=unsettled.held_micro_usd,
        uncertain=unsettled.uncertain_micro_usd,
    )
    return StoredRunView(
        view=view,
        inputs=contents[run.inputs_digest],
        outputs=contents[outputs] if outputs is not None else None,
    )
