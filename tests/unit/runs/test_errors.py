import pytest

from runs import errors
from runs.errors import RunsError

EXAMPLES: list[tuple[RunsError, list[str]]] = [
    (errors.SpecNotFound(name="digest"), ["'digest'", "register its document first"]),
    (errors.SpecNotFound(name="digest", version=3), ["'digest' version 3"]),
    (errors.SpecVersionTaken(name="digest", version=3, latest=7), ["'digest' version 3", "to 8 or above"]),
    (errors.RunNotFound(run_id="run_1"), ["'run_1'"]),
    (errors.RunMismatch(run_id="run_1"), ["'run_1'", "by the API alone"]),
    (errors.RunQueueFull(running=2, queued=5), ["2 runs", "5 wait", "again in 10 seconds"]),
    (errors.IdempotencyKeyReused(idempotency_key="k", run_id="run_1"), ["'k'", "'run_1'", "use a fresh key"]),
    (errors.RunAlreadyFinished(run_id="run_1", state="failed"), ["'run_1'", "failed"]),
    (errors.NodeOutputNotFound(run_id="run_1", node_id="split"), ["'run_1'", "'split'", "states of its nodes"]),
    (errors.StepNotFound(run_id="run_1", node_id="split", item_index=3), ["'run_1'", "'split'", "item 3", "list"]),
    (errors.StepNotFound(run_id="run_1", node_id="a", part="turn:9", taken_over_from="run_0"), ["'turn:9'", "'run_0'"]),
    (errors.StepNotFound(run_id="run_1", node_id="splt", nodes=["split"]), ["no node 'splt'", "there is 'split'"]),
    (errors.RunNotReached(run_id="run_1", wish="pause"), ["'run_1'", "pause", "ask again"]),
    (errors.RunNotFinished(run_id="run_1", state="running"), ["'run_1'", "running", "cancel"]),
    (errors.RerunInvalid(run_id="run_1", reason="there is no node 'x'"), ["'run_1'", "no node 'x'"]),
    (errors.RerunEmpty(run_id="run_1"), ["'run_1'", "nothing would run"]),
    (errors.GateNotFound(name="gate_1"), ["'gate_1'"]),
    (errors.GateClosed(gate_id="gate_1", state="approved"), ["'gate_1'", "approved"]),
    (errors.GateNotReady(gate_id="gate_1"), ["'gate_1'", "try again"]),
    (errors.EventsFull(run_id="run_1", events=100, size_bytes=1_024), ["'run_1'", "100", "1,024", "later"]),
    (errors.DecisionStale(gate_id="gate_1"), ["'gate_1'", "look at it again"]),
    (errors.NotApprover(gate_id="gate_1", approvers=("ada", "bob")), ["'gate_1'", "ada, bob"]),
    (
        errors.DecisionUnfit(gate_id="gate_1", kind="in_doubt", reason="resolve it"),
        ["'gate_1'", "'in_doubt'", "resolve"],
    ),
    (errors.EffectInDoubt(node_id="pay"), ["'pay'", "approval resolve"]),
    (errors.EffectInDoubt(node_id="pay", item_index=3), ["'pay[3]'"]),
    (errors.RecordConflict(collection="c", key="k", expected="in version 2"), ["'c'", "'k'", "version 2", "read it"]),
    (errors.CursorInvalid(), ["start again without one"]),
    (errors.ExpressionInvalid(expression="a.", reason="it ends early"), ["'a.'", "it ends early"]),
    (errors.ExpressionFailed(expression="a.b", reason="no 'b'"), ["'a.b'", "no 'b'"]),
    (errors.ExpressionTooCostly(expression="a.b", reason="9 steps"), ["'a.b'", "9 steps"]),
    (errors.PlanIncompatible(digest="ab", reason="it is old"), ["'ab'", "it is old", "submit the workflow again"]),
    (errors.DeterminismViolation(node_id="split", item_index=None), ["'split'"]),
    (errors.DeterminismViolation(node_id="split", item_index=0), ["'split[0]'"]),
    (errors.StepClaimed(node_id="split", retry_after_seconds=3.0), ["'split'"]),
    (errors.StaleFence(node_id="split", fence=2), ["'split'", "attempt 2"]),
]


@pytest.mark.parametrize(("error", "quoted"), EXAMPLES)
def test_a_message_quotes_the_facts_and_says_what_to_do(error: RunsError, quoted: list[str]) -> None:
    assert [] == [part for part in quoted if part not in str(error)]


def test_every_error_of_runs_has_an_example_above() -> None:
    assert {type(error) for error, _ in EXAMPLES} == set(RunsError.__subclasses__())


def test_every_error_of_runs_stands_in_the_tree_that_is_drawn() -> None:
    drawn = str(errors.__doc__)

    assert [] == [error for error in RunsError.__subclasses__() if f" {error.__name__} " not in drawn]


def test_the_time_to_wait_is_an_attribute() -> None:
    assert errors.StepClaimed(node_id="split", retry_after_seconds=3.5).retry_after_seconds == 3.5
