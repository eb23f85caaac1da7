"""The judgement of effects out in the world: done once where once is promised, and in doubt where nobody can know."""

from collections.abc import Mapping, Sequence

from bench.chaos.effect_service import Deeds, Effect
from bench.chaos.evidence import Evidence, Where, where_of
from bench.chaos.users import JobSeen
from bench.chaos.verdict import Verdict
from runs.plan import COMPENSATION


def judge_effects(verdict: Verdict, seen: Sequence[JobSeen], deeds: Mapping[Effect, Deeds], evidence: Evidence) -> None:
    """Adds what the service's counts and the journal's doubts say to the verdict."""
    runs = {outcome.job.tag: outcome.runs[0] for outcome in seen if outcome.runs}
    doubted = {where_of(row) for row in evidence.doubts}
    duplicates = {where_of(row): row["possible_duplicates"] for row in evidence.steps}
    verdict.in_doubt = len(evidence.doubts)
    for effect, done in deeds.items():
        run = runs.get(effect.tag)
        if run is None:
            verdict.lost.append(f"{effect} was asked for by a run that no user knows")
            continue
        where = (run.run_id, effect.node_id, effect.item_index, effect.part)
        if effect.method == "GET":
            _judge_pure(verdict, where, done, duplicates.get(where, 0))
        elif effect.method == "PUT":
            _judge_idempotent(verdict, where, done)
        else:
            _judge_at_most_once(verdict, where, done, is_doubted=where in doubted)
        if done.performed == 0 and run.state == "succeeded":
            verdict.lost.append(f"{where} succeeded, and its effect was never had")
    for outcome in seen:
        if outcome.job.shape.takes_back:
            _judge_compensations(verdict, outcome.job.tag, deeds)
    _judge_records(verdict, seen, evidence)


def _judge_compensations(verdict: Verdict, tag: str, deeds: Mapping[Effect, Deeds]) -> None:
    """What was done is taken back, in reverse."""
    booked, taken_back = (
        {
            effect.node_id: done.first_at
            for effect, done in deeds.items()
            if (effect.tag, effect.method, effect.part) == (tag, "POST", part) and done.first_at is not None
        }
        for part in (None, COMPENSATION)
    )
    if set(booked) != set(taken_back):
        verdict.lost.append(f"{tag} booked {sorted(booked)} and took back {sorted(taken_back)}")
    elif sorted(booked, key=booked.__getitem__) != sorted(taken_back, key=taken_back.__getitem__, reverse=True):
        verdict.lost.append(f"{tag} took back {sorted(taken_back, key=taken_back.__getitem__)} in that order")


def _judge_pure(verdict: Verdict, where: Where, done: Deeds, possible_duplicates: int) -> None:
    verdict.physical_double_calls += done.requests - 1
    if done.requests - 1 > possible_duplicates:
        verdict.unreported.append(
            f"{where} was asked {done.requests} times; the journal says {possible_duplicates} possible duplicates"
        )


def _judge_idempotent(verdict: Verdict, where: Where, done: Deeds) -> None:
    if len(done.keys) != 1:
        verdict.double_commits.append(f"{where} came with {len(done.keys)} idempotency keys: {done.keys}")


def _judge_at_most_once(verdict: Verdict, where: Where, done: Deeds, *, is_doubted: bool) -> None:
    if done.performed > 1:
        verdict.double_commits.append(f"{where} was done {done.performed} times")
    if done.unheard and not is_doubted:
        verdict.unreported.append(f"{where} was done unheard, and was never in doubt")


def _judge_records(verdict: Verdict, seen: Sequence[JobSeen], evidence: Evidence) -> None:
    versions = {row["key"]: row["version"] for row in evidence.records}
    verdict.double_commits += [
        f"the record {key} was written {version} times" for key, version in versions.items() if version != 1
    ]
    verdict.lost += [
        f"{outcome.job.key} succeeded without its record"
        for outcome in seen
        if outcome.job.shape.name == "effects"
        and any(run.state == "succeeded" for run in outcome.runs)
        and outcome.job.tag not in versions
    ]
