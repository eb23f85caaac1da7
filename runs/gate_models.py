"""Frozen values of gates: what a run waits for from outside."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from runs.models import StepKey


class GateKind(StrEnum):
    """What a gate waits for."""

    APPROVAL = "approval"
    EVENT = "event"
    TIMER = "timer"
    #: A step whose effect may have happened: a person is to say whether it did.
    IN_DOUBT = "in_doubt"


class DoubtResolution(StrEnum):
    """What a person says of a step in doubt."""

    PERFORMED = "performed"
    #: It is to be performed again.
    NOT_PERFORMED = "not_performed"
    #: It is given up, whatever became of it.
    FAIL = "fail"


class GateState(StrEnum):
    """Where a gate stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    #: The event came, or the time was over.
    PASSED = "passed"
    #: Nobody decided in time.
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGate:
    """A gate about to be opened."""

    gate_id: str
    key: StepKey
    kind: GateKind
    message: str | None = None
    #: SHA-256 of what is to be approved: a decision names it, so that none is made on something else.
    subject_digest: str | None = None
    event_key: str | None = None
    #: Names of API keys; empty lets every key of the organisation decide.
    approvers: tuple[str, ...] = ()
    #: Seconds until it expires, or for a timer is over.
    due_seconds: float | None = None
    #: The workflow that waits; None is the run's own.
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A gate as recorded."""

    gate_id: str
    org_id: str
    run_id: str
    node_id: str
    generation: int
    kind: GateKind
    state: GateState
    message: str | None
    subject_digest: str | None
    event_key: str | None
    approvers: tuple[str, ...]
    opened_at: datetime
    due_at: datetime | None
    decided_at: datetime | None
    decided_by: str | None
    decision_id: str | None
    comment: str | None
    #: in_doubt: which of the node's steps.
    item_index: int | None = None
    part: str | None = None
    workflow_id: str | None = None


def shown_in(subject: bytes | None) -> Any:
    """What a stored subject shows, which takes as long to read as it is; None where there is none."""
    return None if subject is None else json.loads(subject.decode("utf-8", errors="replace"))["show"]
