from dataclasses import replace
from typing import Any

import pytest

from bench.chaos.counting_model import PhysicalCall
from bench.chaos.evidence import Evidence, Row
from bench.chaos.judge import Expected, Observed, expectations, judge
from bench.chaos.users import JobSeen, RunSeen
from bench.chaos.verdict import Verdict
from bench.chaos.workload import job, shape_of

ANSWER = "draft:abcdefghijkl try-b"
EXPECTED = {"chain": (Expected(state="succeeded", outputs={"left": "draft:abcdefghijkl"}),)}
CALL = PhysicalCall(idempotency_key="call_1", step="draft", item_index=None, is_answered=True)
SEEN = RunSeen(run_id="run_1", state="succeeded", outputs={"left": ANSWER}, error=None, seconds=2)


def reservation(**more: Any) -> Row:
    return {
        "reservation_id": "call_1",
        "run_id": "run_1",
        "state": "settled",
        "ceiling_micro_usd": 50,
        "settled_micro_usd": 30,
        "budget_ids": ["budget_1"],
        **more,
    }


def posting(**more: Any) -> Row:
    return {
        "transaction_id": "call_1",
        "run_id": "run_1",
        "balance": 0,
        "spent": 30,
        "step": "draft",
        "sides": 2,
        **more,
    }


def step(**more: Any) -> Row:
    return {
        "run_id": "run_1",
        "node_id": "draft",
        "item_index": None,
        "part": None,
        "state": "committed",
        "possible_duplicates": 0,
        **more,
    }


EVIDENCE = Evidence(
    runs=({"run_id": "run_1", "state": "succeeded", "workflow_name": "chaos_chain"},),
    steps=(step(),),
    reservations=(reservation(),),
    postings=(posting(),),
    budgets=({"budget_id": "budget_1", "spent": 30, "held": 0},),
)


def verdict_on(
    evidence: Evidence = EVIDENCE, *, run: RunSeen = SEEN, calls: tuple[PhysicalCall, ...] = (CALL,)
) -> Verdict:
    seen = JobSeen(job=job(1, shape_of("chain")), runs=(run,))
    return judge(Observed(seen=[seen], calls=calls, deeds={}), EXPECTED, evidence)


def test_a_run_that_ended_as_expected_and_was_paid_once_gives_no_finding() -> None:
    assert [] == verdict_on().findings


@pytest.mark.parametrize(
    "run",
    [
        replace(SEEN, state="failed", outputs=None),
        replace(SEEN, state="running", outputs=None),
        replace(SEEN, outputs={"left": "draft:ponmlkjihgfe try-b"}),
        replace(SEEN, error="step.failed: why (draft)"),
        replace(SEEN, run_id="run_unknown"),
    ],
    ids=["failed", "not ended", "other outputs", "another error", "not recorded"],
)
def test_an_accepted_run_that_did_not_end_as_it_should_is_lost(run: RunSeen) -> None:
    assert 1 == len(verdict_on(run=run).lost)


def test_a_run_that_no_user_knows_and_that_never_ended_is_lost() -> None:
    unknown = {"run_id": "run_2", "state": "submitted", "workflow_name": "chaos_chain"}

    verdict = verdict_on(replace(EVIDENCE, runs=(*EVIDENCE.runs, unknown)))

    assert ["run_2 (chaos_chain) is submitted when all is over"] == verdict.lost


def test_a_job_that_was_never_accepted_is_lost() -> None:
    seen = JobSeen(job=job(1, shape_of("chain")), runs=(), problem="NotAccepted: the server answered 500")

    evidence = replace(EVIDENCE, postings=(), reservations=(), budgets=())

    assert 1 == len(judge(Observed(seen=[seen], calls=(), deeds={}), EXPECTED, evidence).lost)


def test_two_results_of_one_step_in_the_outputs_are_a_double_commit() -> None:
    outputs = {"left": ANSWER, "right": ANSWER.replace("try-b", "try-c")}

    assert 1 == len(verdict_on(run=replace(SEEN, outputs=outputs)).double_commits)


def test_a_step_that_was_answered_twice_must_count_a_possible_duplicate() -> None:
    again = replace(CALL, idempotency_key="call_2")
    held = reservation(reservation_id="call_2", state="held", settled_micro_usd=None)
    evidence = replace(
        EVIDENCE,
        reservations=(reservation(), held),
        budgets=({"budget_id": "budget_1", "spent": 30, "held": 50},),
    )

    silent = verdict_on(evidence, calls=(CALL, again))
    told = verdict_on(replace(evidence, steps=(step(possible_duplicates=1),)), calls=(CALL, again))

    assert (1, 1) == (len(silent.unreported), silent.physical_double_calls)
    assert ([], 1, 1) == (told.findings, told.physical_double_calls, told.possible_double_spend)


@pytest.mark.parametrize(
    "evidence",
    [
        replace(EVIDENCE, reservations=(), postings=(), budgets=()),
        replace(EVIDENCE, steps=()),
        replace(
            EVIDENCE,
            reservations=(reservation(state="released", settled_micro_usd=0),),
            postings=(),
            steps=(step(state="failed"),),
            budgets=({"budget_id": "budget_1", "spent": 0, "held": 0},),
        ),
        replace(
            EVIDENCE,
            reservations=(reservation(state="held", settled_micro_usd=None),),
            postings=(),
            budgets=({"budget_id": "budget_1", "spent": 0, "held": 50},),
        ),
    ],
    ids=["no money set aside", "not in the journal", "money given back", "committed unpaid"],
)
def test_a_call_that_the_platform_does_not_account_for_is_unreported(evidence: Evidence) -> None:
    assert 1 == len(verdict_on(evidence).unreported)


@pytest.mark.parametrize(
    "evidence",
    [
        replace(EVIDENCE, postings=(posting(), posting(transaction_id="call_9"))),
        replace(EVIDENCE, postings=(posting(balance=5),)),
        replace(EVIDENCE, postings=(posting(spent=60),)),
        replace(EVIDENCE, budgets=({"budget_id": "budget_1", "spent": 60, "held": 0},)),
        replace(EVIDENCE, budgets=({"budget_id": "budget_1", "spent": 30, "held": 50},)),
    ],
    ids=["paid, never answered", "one side missing", "posted otherwise", "spent twice", "still held"],
)
def test_money_that_moved_twice_is_a_double_commit(evidence: Evidence) -> None:
    assert 1 == len(verdict_on(evidence).double_commits)


def test_what_is_expected_of_a_shape_says_nothing_of_which_call_was_answered() -> None:
    assert EXPECTED == expectations([JobSeen(job=job(1, shape_of("chain")), runs=(SEEN,))])


def test_undisturbed_runs_that_do_not_end_as_their_shape_says_are_no_measure() -> None:
    seen = JobSeen(job=job(1, shape_of("chain")), runs=(replace(SEEN, state="failed", error="step.failed"),))

    with pytest.raises(RuntimeError, match="chain"):
        expectations([seen])
