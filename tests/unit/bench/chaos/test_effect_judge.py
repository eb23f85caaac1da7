from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.chaos.effect_judge import judge_effects
from bench.chaos.effect_service import Deeds, Effect
from bench.chaos.evidence import Evidence, Row
from bench.chaos.users import JobSeen, RunSeen
from bench.chaos.verdict import Verdict
from bench.chaos.workload import job, shape_of

JOB = job(1, shape_of("effects"))
RUN = RunSeen(run_id="run_1", state="succeeded", outputs={}, error=None, seconds=2)
EVIDENCE = Evidence(
    runs=(),
    steps=(),
    reservations=(),
    postings=(),
    budgets=(),
    records=({"key": JOB.tag, "version": 1},),
)


def effect(method: str = "POST", *, tag: str = JOB.tag) -> Effect:
    return Effect(method=method, tag=tag, node_id="pay", item_index=None)


def row(**more: object) -> Row:
    return {"run_id": "run_1", "node_id": "pay", "item_index": None, "part": None, **more}


def verdict_on(deeds: Mapping[Effect, Deeds], evidence: Evidence = EVIDENCE) -> Verdict:
    verdict = Verdict()
    judge_effects(verdict, [JobSeen(job=JOB, runs=(RUN,))], deeds, evidence)
    return verdict


def test_what_was_done_once_and_heard_of_gives_no_finding() -> None:
    assert [] == verdict_on({effect(): Deeds(requests=1, performed=1)}).findings


def test_what_must_not_be_repeated_and_was_is_a_double_commit() -> None:
    assert 1 == len(verdict_on({effect(): Deeds(requests=2, performed=2)}).double_commits)


def test_what_was_done_unheard_must_have_been_in_doubt() -> None:
    unheard = {effect(): Deeds(requests=1, performed=1, unheard=1)}

    silent = verdict_on(unheard)
    told = verdict_on(unheard, replace(EVIDENCE, doubts=(row(state="approved"),)))

    assert 1 == len(silent.unreported)
    assert ([], 1) == (told.findings, told.in_doubt)


def test_an_idempotent_effect_has_one_key_however_often_it_is_asked_for() -> None:
    one, two = ({effect("PUT"): Deeds(requests=2, performed=1, keys=keys)} for keys in (("a",), ("a", "b")))

    assert [] == verdict_on(one).findings
    assert 1 == len(verdict_on(two).double_commits)


def test_a_pure_request_that_was_repeated_must_count_a_possible_duplicate() -> None:
    twice = {effect("GET"): Deeds(requests=2, performed=2)}

    silent = verdict_on(twice)
    told = verdict_on(twice, replace(EVIDENCE, steps=(row(possible_duplicates=1),)))

    assert (1, 1) == (len(silent.unreported), silent.physical_double_calls)
    assert [] == told.findings


@pytest.mark.parametrize(
    ("deeds", "evidence"),
    [
        ({effect(): Deeds(requests=1, performed=0)}, EVIDENCE),
        ({effect(tag="unknown"): Deeds(requests=1, performed=1)}, EVIDENCE),
        ({}, replace(EVIDENCE, records=())),
    ],
    ids=["never done", "of no known run", "record missing"],
)
def test_an_effect_that_a_run_lacks_is_lost(deeds: Mapping[Effect, Deeds], evidence: Evidence) -> None:
    assert 1 == len(verdict_on(deeds, evidence).lost)


def test_a_record_that_was_written_twice_is_a_double_commit() -> None:
    assert 1 == len(verdict_on({}, replace(EVIDENCE, records=({"key": JOB.tag, "version": 2},))).double_commits)


def bookings(**first_at: float) -> dict[Effect, Deeds]:
    """Node, or node and `_back` → when it was done."""
    deeds = {}
    for name, at in first_at.items():
        node_id, back, _ = name.partition("_back")
        part = "compensation" if back else None
        effect = Effect(method="POST", tag=JOB.tag, node_id=node_id, part=part)
        deeds[effect] = Deeds(requests=1, performed=1, first_at=at)
    return deeds


def compensated(deeds: Mapping[Effect, Deeds]) -> Verdict:
    run = replace(RUN, state="failed", outputs=None)
    verdict = Verdict()
    judge_effects(verdict, [JobSeen(job=job(1, shape_of("compensated")), runs=(run,))], deeds, EVIDENCE)
    return verdict


def test_what_is_taken_back_in_reverse_gives_no_finding() -> None:
    assert [] == compensated(bookings(flight=1, hotel=2, hotel_back=3, flight_back=4)).findings


@pytest.mark.parametrize(
    "deeds",
    [
        bookings(flight=1, hotel=2, hotel_back=3),
        bookings(flight=1, flight_back=3, hotel_back=2),
        bookings(flight=1, hotel=2, flight_back=3, hotel_back=4),
    ],
    ids=["not taken back", "taken back and never done", "in the wrong order"],
)
def test_what_is_not_taken_back_as_it_should_is_lost(deeds: Mapping[Effect, Deeds]) -> None:
    assert 1 == len(compensated(deeds).lost)


def test_the_doubt_of_one_call_of_an_agent_says_nothing_of_another() -> None:
    unheard = {
        Effect(method="POST", tag=JOB.tag, node_id="pay", part=f"call:{turn}.0"): Deeds(
            requests=1, performed=1, unheard=1
        )
        for turn in range(2)
    }

    verdict = verdict_on(unheard, replace(EVIDENCE, doubts=(row(part="call:0.0", state="approved"),)))

    assert 1 == len(verdict.unreported)
