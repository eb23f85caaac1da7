"""Approvals and events as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.json_object import JsonObject, StorableJson, StorableText
from runs.gate_models import DoubtResolution, Gate, GateKind, shown_in


class Approval(BaseModel):
    """A decision that a run waits for, or waited for."""

    approval_id: str
    run_id: str
    node_id: str
    item_index: int | None = Field(description="The one item of a map that it is about.")
    kind: GateKind = Field(description="`approval`, or `in_doubt` for a step whose effect may have happened or not.")
    state: str = Field(description="`open`, `approved`, `rejected`, `expired` or `cancelled`.")
    message: str
    subject_digest: str = Field(description="SHA-256 of what is to be approved; a decision names it.")
    approvers: list[str] = Field(description="Names of API keys that may decide; empty: every key.")
    opened_at: datetime
    due_at: datetime | None
    decided_at: datetime | None
    decided_by: str | None
    comment: str | None


class ApprovalDetail(Approval):
    """An approval with what is to be approved."""

    show: Any


class ApprovalDecision(BaseModel):
    """A decision, bound to what was looked at."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    subject_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    comment: Annotated[StorableText, Field(max_length=2_000)] | None = None


class DoubtResolutionRequest(BaseModel):
    """What became of a step in doubt, bound to what was looked at."""

    model_config = ConfigDict(extra="forbid")

    resolution: DoubtResolution = Field(
        description="`performed`: it did happen; `not_performed`: do it again; `fail`: give it up."
    )
    output: StorableJson = Field(default=None, description="`performed`: the step's output; null when left out.")
    subject_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    comment: Annotated[StorableText, Field(max_length=2_000)] | None = None


class EventDelivery(BaseModel):
    """An event for what a run waits for."""

    model_config = ConfigDict(extra="forbid")

    payload: JsonObject = Field(default_factory=dict, description="The output of the nodes that wait for the event.")


class EventAccepted(BaseModel):
    """What became of an event."""

    run_id: str
    event_key: str
    became: Literal["delivered", "kept"] = Field(
        description="`delivered` to what waits for it, or `kept` for what will wait."
    )
    kept_until: datetime | None = Field(default=None, description="When it is given up if nothing has waited for it.")


def approval_of(gate: Gate) -> Approval:
    """An approval in a list."""
    return Approval(**_fields(gate))


def approval_detail_json(gate: Gate, subject: bytes | None) -> bytes:
    """An approval with its subject, as ApprovalDetail; its work is as much as the subject."""
    return ApprovalDetail(**_fields(gate), show=shown_in(subject)).model_dump_json().encode()


def _fields(gate: Gate) -> dict[str, Any]:
    return {
        "approval_id": gate.gate_id,
        "run_id": gate.run_id,
        "node_id": gate.node_id,
        "item_index": gate.item_index,
        "kind": gate.kind,
        "state": gate.state.value,
        "message": gate.message or "",
        "subject_digest": gate.subject_digest or "",
        "approvers": list(gate.approvers),
        "opened_at": gate.opened_at,
        "due_at": gate.due_at,
        "decided_at": gate.decided_at,
        "decided_by": gate.decided_by,
        "comment": gate.comment,
    }
