"""What can go wrong with specs, runs and steps.

RunsError
├── SpecNotFound            no such workflow, or no such version of it
├── SpecVersionTaken        another document already has this name and version
├── RunNotFound             no such run for this organisation
├── RunMismatch             a workflow works on something else than is recorded of its run
├── RunQueueFull            as many runs wait as may; this one is refused
├── IdempotencyKeyReused    the key came before, with another request
├── RunAlreadyFinished      a finished run cannot be cancelled
├── NodeOutputNotFound      the node has given nothing yet, or is none of the run
├── StepNotFound            the node has no such step, or has not begun
├── RunNotReached           it is noted, and Temporal does not answer
├── RunNotFinished          a run that goes on cannot be run again
├── RerunInvalid            what is to be run again cannot be
├── RerunEmpty              everything would be taken over, so there is nothing to run
├── GateNotFound            no such approval or event for this organisation
├── GateClosed              it was decided, came, or ran out of time before
├── GateNotReady            the run has not come to it yet, or is between two tasks
├── EventsFull              too many events came before anything waited for them
├── DecisionStale           the decision is about something else than what is to be decided
├── NotApprover             someone else must decide
├── DecisionUnfit           a decision of another kind than the gate asks for
├── EffectInDoubt           an effect may have happened, and only a person can tell
├── RecordConflict          a record is not as its writer expects
├── CursorInvalid           a page cursor that this server did not make
├── ExpressionInvalid       an expression that does not parse
├── ExpressionFailed        an expression that has no value for these inputs
├── ExpressionTooCostly     an expression that would take more steps or memory than it may
├── PlanIncompatible        a stored plan of a form that this code does not read
├── DeterminismViolation    one effect key, two different requests
├── StepClaimed             another attempt holds the step
└── StaleFence              this attempt was replaced while it worked
"""

from collections.abc import Sequence

from agentflow.errors import AgentflowError


class RunsError(AgentflowError):
    """A spec, a run or a step is not as the caller believes."""

    code = "runs.error"


class SpecNotFound(RunsError):
    """The organisation has no workflow of this name and version."""

    code = "workflow.not_found"

    def __init__(self, *, name: str, version: int | None = None) -> None:
        self.name, self.version = name, version
        wanted = f"{name!r} version {version}" if version is not None else repr(name)
        super().__init__(f"there is no workflow {wanted}; register its document first")


class SpecVersionTaken(RunsError):
    """A spec version is immutable, and this one holds another document."""

    code = "workflow.version_taken"

    def __init__(self, *, name: str, version: int, latest: int) -> None:
        self.name, self.version = name, version
        super().__init__(
            f"workflow {name!r} version {version} is registered with another document; "
            f"raise `version` to {latest + 1} or above to register this one"
        )


class RunNotFound(RunsError):
    """The organisation has no run of this id."""

    code = "run.not_found"

    def __init__(self, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"there is no run {run_id!r}")


class RunMismatch(RunsError):
    """A workflow names a plan or inputs that are not recorded of its run, or runs under another id."""

    code = "run.mismatch"

    def __init__(self, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"what the workflow says of run {run_id!r} is not what is recorded; runs are started by the API alone"
        )


class RunQueueFull(RunsError):
    """The organisation has as many runs at work and waiting as it may; nothing was recorded."""

    code = "run.queue_full"
    #: Runs take seconds to hours: this is when to ask again, not when there will be room.
    retry_after_seconds = 10.0

    def __init__(self, *, running: int, queued: int) -> None:
        self.running, self.queued = running, queued
        super().__init__(
            f"{running} runs are at work and {queued} wait, which is as many as may; "
            f"submit it again in {self.retry_after_seconds:.0f} seconds, or have the limit raised"
        )


class IdempotencyKeyReused(RunsError):
    """The idempotency key belongs to a request with another body."""

    code = "run.idempotency_key_reused"

    def __init__(self, *, idempotency_key: str, run_id: str) -> None:
        self.idempotency_key, self.run_id = idempotency_key, run_id
        super().__init__(
            f"the idempotency key {idempotency_key!r} started run {run_id!r} with other inputs; use a fresh key"
        )


class RunAlreadyFinished(RunsError):
    """The run has ended; there is nothing to cancel."""

    code = "run.already_finished"

    def __init__(self, *, run_id: str, state: str) -> None:
        self.run_id, self.state = run_id, state
        super().__init__(f"run {run_id!r} has ended already: it is {state}")


class NodeOutputNotFound(RunsError):
    """The node has given nothing yet, or there is no such node."""

    code = "node.output_not_found"

    def __init__(self, *, run_id: str, node_id: str) -> None:
        self.run_id, self.node_id = run_id, node_id
        super().__init__(f"node {node_id!r} of run {run_id!r} has no output; look at the states of its nodes")


class StepNotFound(RunsError):
    """The run has no such node, or the node no such step."""

    code = "step.not_found"

    def __init__(
        self,
        *,
        run_id: str,
        node_id: str,
        item_index: int | None = None,
        part: str | None = None,
        taken_over_from: str | None = None,
        nodes: Sequence[str] = (),
    ) -> None:
        """`nodes` are those of the run, where `node_id` is none of them."""
        self.run_id, self.node_id, self.item_index, self.part = run_id, node_id, item_index, part
        self.taken_over_from, self.is_of_no_node = taken_over_from, bool(nodes)
        if nodes:
            super().__init__(f"run {run_id!r} has no node {node_id!r}; there is {', '.join(map(repr, nodes))}")
            return
        item = f" item {item_index}" if item_index is not None else ""
        which = f" with part {part!r}" if part is not None else ""
        advice = f"look at the states of its nodes, or list the steps: agentctl workflow steps {run_id} {node_id}"
        if taken_over_from is not None:
            advice = f"the node was taken over: look at run {taken_over_from!r}"
        super().__init__(f"node {node_id!r} of run {run_id!r} has no step{item}{which}; {advice}")


class RunNotReached(RunsError):
    """What a run is to do is noted, and Temporal does not answer: the run itself has not heard of it."""

    code = "run.not_reached"

    def __init__(self, *, run_id: str, wish: str) -> None:
        self.run_id, self.wish = run_id, wish
        super().__init__(f"run {run_id!r} could not be told to {wish}: Temporal does not answer; ask again")


class RunNotFinished(RunsError):
    """The run goes on; only one that has ended can be run again."""

    code = "run.not_finished"

    def __init__(self, *, run_id: str, state: str) -> None:
        self.run_id, self.state = run_id, state
        super().__init__(f"run {run_id!r} is {state}; wait until it has ended, or cancel it, before it is run again")


class RerunInvalid(RunsError):
    """What is asked for does not fit the run, or contradicts itself."""

    code = "rerun.invalid"

    def __init__(self, *, run_id: str, reason: str) -> None:
        self.run_id, self.reason = run_id, reason
        super().__init__(f"run {run_id!r} cannot be run again like this: {reason}")


class RerunEmpty(RunsError):
    """Every output of the earlier run would be taken over."""

    code = "rerun.nothing_to_do"

    def __init__(self, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} succeeded and nothing is changed, so nothing would run: name the nodes to begin from "
            "(`--from`), ask for the items that its maps tolerated to fail (`--failed-items`), change an input "
            "(`--set`), or submit the workflow as a run of its own"
        )


class GateNotFound(RunsError):
    """The organisation has no such approval, or the run no such event."""

    code = "gate.not_found"

    def __init__(self, *, name: str) -> None:
        self.name = name
        super().__init__(f"there is nothing to decide or wait for under {name!r}")


class GateClosed(RunsError):
    """A decision or an event comes after the matter is closed."""

    code = "gate.closed"

    def __init__(self, *, gate_id: str, state: str) -> None:
        self.gate_id, self.state = gate_id, state
        super().__init__(f"{gate_id!r} is {state} already; nothing is changed")


class GateNotReady(RunsError):
    """The run takes no decision at this moment; it will."""

    code = "gate.not_ready"

    def __init__(self, *, gate_id: str) -> None:
        self.gate_id, self.retry_after_seconds = gate_id, 1.0
        super().__init__(f"the run does not take {gate_id!r} at this moment; try again in a second")


class EventsFull(RunsError):
    """A run has too many events that nothing has waited for yet."""

    code = "events.full"

    def __init__(self, *, run_id: str, events: int, size_bytes: int) -> None:
        self.run_id, self.events, self.size_bytes, self.retry_after_seconds = run_id, events, size_bytes, 10.0
        super().__init__(
            f"{events} events with {size_bytes:,} bytes are kept for run {run_id!r} already, and no more are until it "
            "waits for some of them; deliver this one later"
        )


class DecisionStale(RunsError):
    """What was looked at is not what is to be decided."""

    code = "approval.stale"

    def __init__(self, *, gate_id: str) -> None:
        self.gate_id = gate_id
        super().__init__(f"{gate_id!r} is about other content than the digest names; look at it again, then decide")


class NotApprover(RunsError):
    """The key that decides is not among the approvers."""

    code = "approval.not_approver"

    def __init__(self, *, gate_id: str, approvers: tuple[str, ...]) -> None:
        self.gate_id, self.approvers = gate_id, approvers
        super().__init__(
            f"{gate_id!r} is to be decided by {', '.join(approvers)}: use an API key of one of these names"
        )


class DecisionUnfit(RunsError):
    """An approval is approved or rejected, and a step in doubt is resolved; this is the other one."""

    code = "approval.unfit"

    def __init__(self, *, gate_id: str, kind: str, reason: str) -> None:
        self.gate_id, self.kind = gate_id, kind
        super().__init__(f"{gate_id!r} is of kind {kind!r}: {reason}")


class EffectInDoubt(RunsError):
    """A step's effect may have happened or not; it is not performed again before a person has said which."""

    code = "step.in_doubt"

    def __init__(self, *, node_id: str, item_index: int | None = None) -> None:
        self.node_id, self.item_index = node_id, item_index
        where = node_id if item_index is None else f"{node_id}[{item_index}]"
        super().__init__(
            f"the effect of step {where!r} may have happened or not; look, then say so: agentctl approval resolve"
        )


class RecordConflict(RunsError):
    """A record was to be written as it is not."""

    code = "records.conflict"

    def __init__(self, *, collection: str, key: str, expected: str) -> None:
        self.collection, self.key, self.expected = collection, key, expected
        super().__init__(f"record {key!r} of {collection!r} was expected {expected}, and is not; read it again")


class CursorInvalid(RunsError):
    """A page cursor that no page of this server ended with."""

    code = "page.cursor_invalid"

    def __init__(self) -> None:
        super().__init__("the page cursor is not one that this server gave out; start again without one")


class ExpressionInvalid(RunsError):
    """An expression is not CEL."""

    code = "expression.invalid"

    def __init__(self, *, expression: str, reason: str) -> None:
        self.expression, self.reason = expression, reason
        super().__init__(f"{expression!r} is not a CEL expression: {reason}")


class ExpressionFailed(RunsError):
    """An expression has no value for this run's data."""

    code = "expression.failed"

    def __init__(self, *, expression: str, reason: str) -> None:
        self.expression, self.reason = expression, reason
        super().__init__(f"{expression!r} has no value: {reason}")


class ExpressionTooCostly(RunsError):
    """An expression takes more steps, or makes more, than it may over this run's data."""

    code = "expression.too_costly"

    def __init__(self, *, expression: str, reason: str) -> None:
        self.expression, self.reason = expression, reason
        super().__init__(
            f"{expression!r} cannot be computed: {reason}; go over shorter lists, make less, or use a code node"
        )


class PlanIncompatible(RunsError):
    """A stored plan was compiled by another version of the compiler, in a form that this code does not read."""

    code = "plan.incompatible"

    def __init__(self, *, digest: str, reason: str) -> None:
        self.digest, self.reason = digest, reason
        super().__init__(f"the plan {digest!r} cannot be read: {reason}; submit the workflow again")


class DeterminismViolation(RunsError):
    """A step was asked for twice under one effect key with different requests."""

    code = "step.determinism_violation"

    def __init__(self, *, node_id: str, item_index: int | None) -> None:
        self.node_id, self.item_index = node_id, item_index
        where = node_id if item_index is None else f"{node_id}[{item_index}]"
        super().__init__(
            f"step {where!r} was recorded with a different request; its recorded effect is kept and nothing was called"
        )


class StepClaimed(RunsError):
    """Another live attempt holds this step."""

    code = "step.claimed"

    def __init__(self, *, node_id: str, retry_after_seconds: float) -> None:
        self.node_id, self.retry_after_seconds = node_id, retry_after_seconds
        super().__init__(f"step {node_id!r} is being worked on by another attempt")


class StaleFence(RunsError):
    """This attempt was taken for dead and replaced; its result is not recorded."""

    code = "step.stale_fence"

    def __init__(self, *, node_id: str, fence: int) -> None:
        self.node_id, self.fence = node_id, fence
        super().__init__(f"step {node_id!r} was taken over while attempt {fence} worked; its result is dropped")
