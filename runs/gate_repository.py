"""SQL of gates; every statement names the organisation, and none commits."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.storable_text import storable_text
from runs.gate_models import Gate, GateKind, GateState, NewGate

_COLUMNS = """gate_id, org_id, run_id, node_id, generation, kind, state, message, subject_digest, event_key, approvers,
    opened_at, due_at, decided_at, decided_by, decision_id, comment, item_index, part,
    workflow_id"""
_OPEN = text(f"""
    INSERT INTO gates (gate_id, org_id, run_id, node_id, generation, kind, state, message, subject_digest, event_key,
                       approvers, item_index, part, workflow_id, opened_at, due_at)
    VALUES (:gate_id, :org_id, :run_id, :node_id, :generation, :kind, 'open', :message, :subject_digest, :event_key,
            cast(:approvers AS jsonb), :item_index, :part, :workflow_id,
            now(), now() + make_interval(secs => cast(:due_seconds AS double precision)))
    ON CONFLICT (gate_id) DO UPDATE SET org_id = gates.org_id
    RETURNING {_COLUMNS},
        CASE WHEN due_at IS NOT NULL THEN greatest(extract(epoch FROM due_at - now()), 0)::float END AS due_seconds
""")
_GET = text(f"SELECT {_COLUMNS} FROM gates WHERE org_id = :org_id AND gate_id = :gate_id")
#: Of runs that go on: a run that was ended from outside takes its gates with it.
_LIST = text(f"""
    SELECT {_COLUMNS} FROM gates
    WHERE org_id = :org_id AND gate_id > :after AND kind IN ('approval', 'in_doubt') AND (state = 'open') = :is_open
      AND (NOT :is_open OR EXISTS (
          SELECT FROM runs WHERE runs.org_id = gates.org_id AND runs.run_id = gates.run_id AND runs.state = 'running'
      ))
      AND (cast(:run_id AS varchar) IS NULL OR run_id = :run_id OR starts_with(run_id, cast(:run_id AS varchar) || '-'))
    ORDER BY gate_id LIMIT :limit
""")
_OF_RUN = text(f"SELECT {_COLUMNS} FROM gates WHERE org_id = :org_id AND run_id = :run_id ORDER BY opened_at, gate_id")
_ESCALATE = text("""
    UPDATE gates SET approvers = cast(:approvers AS jsonb)
    WHERE org_id = :org_id AND gate_id = :gate_id AND state = 'open'
""")
_CLOSE = text("""
    UPDATE gates SET state = :state, decided_at = coalesce(decided_at, now()), decided_by = :decided_by,
                     decision_id = :decision_id, comment = :comment
    WHERE org_id = :org_id AND gate_id = :gate_id AND state = 'open'
""")
_CANCEL = text("""
    UPDATE gates SET state = 'cancelled', decided_at = now()
    WHERE org_id = :org_id AND run_id = :run_id AND state = 'open'
""")


class GateRepository:
    """Opens, finds and closes gates inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, gate: NewGate) -> tuple[Gate, float | None]:
        """Records a gate, and gives the seconds that are left of its time; one that is there already stays."""
        parameters = {
            "gate_id": gate.gate_id,
            "org_id": gate.key.org_id,
            "run_id": gate.key.run_id,
            "node_id": gate.key.node_id,
            "generation": gate.key.generation,
            "kind": gate.kind.value,
            "message": storable_text(gate.message) if gate.message is not None else None,
            "subject_digest": gate.subject_digest,
            "event_key": gate.event_key,
            "approvers": json.dumps(gate.approvers),
            "item_index": gate.key.item_index,
            "part": gate.key.part,
            "workflow_id": gate.workflow_id,
            "due_seconds": gate.due_seconds,
        }
        row = (await self._session.execute(_OPEN, parameters)).mappings().one()
        return _gate(row), row["due_seconds"]

    async def get(self, *, org_id: str, gate_id: str) -> Gate | None:
        """A gate of the organisation."""
        row = (await self._session.execute(_GET, {"org_id": org_id, "gate_id": gate_id})).mappings().first()
        return _gate(row) if row else None

    async def list_approvals(
        self, *, org_id: str, is_open: bool, run_id: str | None, after: str, limit: int
    ) -> list[Gate]:
        """Approvals and steps in doubt, by id: those that a running run waits for, or those that are over.

        Of one run they are its own and those of the runs below it.
        """
        parameters = {"org_id": org_id, "is_open": is_open, "run_id": run_id, "after": after, "limit": limit}
        return [_gate(row) for row in (await self._session.execute(_LIST, parameters)).mappings()]

    async def of_run(self, *, org_id: str, run_id: str) -> list[Gate]:
        """The gates of a run, in the order in which they were opened."""
        rows = await self._session.execute(_OF_RUN, {"org_id": org_id, "run_id": run_id})
        return [_gate(row) for row in rows.mappings()]

    async def escalate(self, *, org_id: str, gate_id: str, approvers: Sequence[str]) -> None:
        """Lets others decide; does nothing when the gate is closed."""
        parameters = {"org_id": org_id, "gate_id": gate_id, "approvers": json.dumps(list(approvers))}
        await self._session.execute(_ESCALATE, parameters)

    async def close(
        self,
        *,
        org_id: str,
        gate_id: str,
        state: GateState,
        decided_by: str | None,
        decision_id: str | None,
        comment: str | None,
    ) -> None:
        """Records how a gate ended; does nothing when that is recorded already."""
        parameters = {
            "org_id": org_id,
            "gate_id": gate_id,
            "state": state.value,
            "decided_by": decided_by,
            "decision_id": decision_id,
            "comment": storable_text(comment) if comment is not None else None,
        }
        await self._session.execute(_CLOSE, parameters)

    async def cancel_of_run(self, *, org_id: str, run_id: str) -> None:
        """Closes what a run that has ended was waiting for."""
        await self._session.execute(_CANCEL, {"org_id": org_id, "run_id": run_id})


def _gate(row: RowMapping) -> Gate:
    values: dict[str, Any] = {name: row[name] for name in Gate.__dataclass_fields__}
    values["kind"], values["state"] = GateKind(values["kind"]), GateState(values["state"])
    values["approvers"] = tuple(values["approvers"])
    return Gate(**values)
