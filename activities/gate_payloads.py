"""What gates and doubts travel as between workflows, activities and services."""

from dataclasses import dataclass

from activities.payloads import RunRef, StepCall, StepDone

OPEN_GATE = "open_gate"
ESCALATE_GATE = "escalate_gate"
CLOSE_GATE = "close_gate"
OPEN_DOUBT = "open_doubt"
CLOSE_DOUBT = "close_doubt"
#: Kinds of an opened gate that nobody waits at: the step has its output after all, or nothing can have happened.
DOUBT_RECORDED = "recorded"
DOUBT_SETTLED = "settled"
#: Temporal updates of a run.
DECIDE = "decide"
DELIVER = "deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCall:
    """A gate to open: what is waited for is worked out and recorded."""

    run: RunRef
    node_id: str
    outputs: dict[str, str | None]
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event from outside."""

    event_key: str
    #: Of what came with it, a blob.
    payload_digest: str
    delivered_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedGate:
    """What a run waits for."""

    gate_id: str
    #: `approval`, `event` or `timer`; of a step `in_doubt`, or `recorded` or `settled` when it is not.
    kind: str
    subject_digest: str | None = None
    event_key: str | None = None
    #: Seconds that are left; None waits without an end.
    due_seconds: float | None = None
    #: An event that had come before.
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateCall:
    """Others may decide from here on."""

    run: RunRef
    node_id: str
    gate_id: str
    #: Which of the node's escalations, from 0.
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's decision, bound to what was looked at; the update's id is the decision's."""

    gate_id: str
    subject_digest: str
    decision_id: str
    approved: bool
    decided_by: str
    #: A blob: history holds no texts of people.
    comment_digest: str | None = None
    #: Of a step in doubt: `performed`, `not_performed` or `fail`.
    resolution: str | None = None
    #: `performed`: a blob with the step's output; None is null.
    output_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseGateCall:
    """How a gate ended: by a decision, an event, or by time."""

    run: RunRef
    node_id: str
    gate: OpenedGate
    decision: Decision | None = None
    delivery: Delivery | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtCall:
    """A step that ended without a word."""

    step: StepCall


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDoubtCall:
    """A person's word on a step in doubt."""

    step: StepCall
    gate: OpenedGate
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtClosed:
    """What follows from it: neither a result nor given up means that the step is performed again."""

    is_given_up: bool = False
    done: StepDone | None = None
