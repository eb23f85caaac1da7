"""The judgement: what users saw and what the vendor counted, held against what the platform recorded.

Pure: it reads values and gives findings, so that it can be shown to find what it is for.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.chaos.counting_model import PhysicalCall, tries_in, without_tries
from bench.chaos.effect_judge import judge_effects
from bench.chaos.effect_service import Deeds, Effect
from bench.chaos.evidence import Evidence, Row, Where, where_of
from bench.chaos.users import JobSeen, RunSeen
from bench.chaos.verdict import Verdict

_OPEN = frozenset({"held", "uncertain"})
_FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How a run of a shape ends where nothing is killed; outputs without what tells the calls of a step apart."""

    state: str
    outputs: Any
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What those saw who are never killed."""

    seen: Sequence[JobSeen]
    calls: Sequence[PhysicalCall]
    deeds: Mapping[Effect, Deeds]


def expectations(calm: Sequence[JobSeen]) -> dict[str, tuple[Expected, ...]]:
    """Shape → how each run of its jobs ends, from runs that nothing disturbed; raises RuntimeError when one did not."""
    expected: dict[str, tuple[Expected, ...]] = {}
    for seen in calm:
        shape = seen.job.shape
        problems = [seen.problem] if seen.problem is not None else []
        problems += [f"{run.state}: {run.error}" for run in seen.runs if run.state != shape.ends]
        if problems:
            raise RuntimeError(f"an undisturbed run of {shape.name} went wrong: {problems}")
        expected[shape.name] = tuple(
            Expected(state=run.state, outputs=without_tries(run.outputs), error=run.error) for run in seen.runs
        )
    return expected


def judge(observed: Observed, expected: Mapping[str, Sequence[Expected]], evidence: Evidence) -> Verdict:
    """Whether any accepted run was lost, anything was committed twice, or any double call was not reported."""
    verdict = Verdict()
    _judge_runs(verdict, observed.seen, expected, evidence)
    _judge_calls(verdict, observed.calls, evidence)
    _judge_money(verdict, evidence)
    judge_effects(verdict, observed.seen, observed.deeds, evidence)
    return verdict


def _judge_runs(
    verdict: Verdict, seen: Sequence[JobSeen], expected: Mapping[str, Sequence[Expected]], evidence: Evidence
) -> None:
    recorded = {row["run_id"]: row for row in evidence.runs}
    for outcome in seen:
        if outcome.problem is not None:
            verdict.lost.append(f"{outcome.job.key} ({outcome.job.shape.name}): {outcome.problem}")
        for run, wanted in zip(outcome.runs, expected[outcome.job.shape.name], strict=False):
            where = f"{outcome.job.key} ({outcome.job.shape.name}, {run.run_id})"
            if run.run_id not in recorded:
                verdict.lost.append(f"{where} was accepted and is not recorded")
                continue
            problem = _problem_of(run, wanted)
            if problem is not None:
                verdict.lost.append(f"{where} {problem}")
            verdict.double_commits += [f"{where}: {answer}" for answer in _differing(run.outputs)]
    for row in evidence.runs:
        if row["state"] not in _FINAL:
            verdict.lost.append(f"{row['run_id']} ({row['workflow_name']}) is {row['state']} when all is over")


def _problem_of(run: RunSeen, expected: Expected) -> str | None:
    if run.state != expected.state:
        return f"is {run.state} after {run.seconds:.0f} s, not {expected.state}: {run.error}"
    if without_tries(run.outputs) != expected.outputs:
        return f"gave {run.outputs}, not {expected.outputs}"
    if run.error != expected.error:
        return f"says {run.error}, not {expected.error}"
    return None


def _differing(outputs: Any) -> list[str]:
    """Answers of one step that stand in the outputs with more than one result."""
    results: dict[str, set[str]] = defaultdict(set)
    for answer in tries_in(outputs):
        step, _, which = answer.partition(" ")
        results[step].add(which)
    return [f"{step} gave {sorted(which)}" for step, which in results.items() if len(which) > 1]


def _judge_calls(verdict: Verdict, calls: Sequence[PhysicalCall], evidence: Evidence) -> None:
    reservations = {row["reservation_id"]: row for row in evidence.reservations}
    answered: dict[Where, list[Row]] = defaultdict(list)
    for call, times in Counter(calls).items():
        reservation = reservations.get(call.idempotency_key)
        if reservation is None:
            verdict.unreported.append(f"a call of {call.step} left without money set aside: {call.idempotency_key}")
            continue
        if times > 1:
            verdict.unreported.append(f"{call.step}: the vendor met {call.idempotency_key} {times} times")
        if call.is_answered:
            answered[reservation["run_id"], call.step, call.item_index, call.part].append(reservation)
            if reservation["state"] == "released":
                verdict.unreported.append(f"{call.step}: {call.idempotency_key} was answered, its money given back")
    steps = {where_of(row): row for row in evidence.steps}
    for where, answers in answered.items():
        _judge_step(verdict, where, answers, steps.get(where))
    verdict.possible_double_spend = sum(row["possible_duplicates"] for row in evidence.steps)
    _judge_settlements(verdict, calls, evidence)


def _judge_step(verdict: Verdict, where: Where, answers: Sequence[Row], step: Row | None) -> None:
    """A step that was answered more than once says so, by its possible duplicates or by what it paid."""
    doubles = len(answers) - 1
    verdict.physical_double_calls += doubles
    if step is None:
        verdict.unreported.append(f"{where} was answered, and the journal does not know it")
        return
    settled = sum(row["state"] == "settled" for row in answers)
    if doubles > step["possible_duplicates"] + max(settled - 1, 0):
        verdict.unreported.append(
            f"{where} was answered {len(answers)} times; {step['possible_duplicates']} possible duplicates, "
            f"{settled} settled"
        )
    if step["state"] == "committed" and not settled:
        verdict.unreported.append(f"{where} is committed and nothing was paid for it")


def _judge_settlements(verdict: Verdict, calls: Sequence[PhysicalCall], evidence: Evidence) -> None:
    """Money is settled for calls that were answered, once each."""
    answered = {call.idempotency_key for call in calls if call.is_answered}
    for posting in evidence.postings:
        if posting["transaction_id"] not in answered:
            verdict.double_commits.append(f"{posting['step']} of {posting['run_id']} was paid and never answered")
        if posting["sides"] != 2 or posting["balance"] != 0:
            verdict.double_commits.append(f"the postings of {posting['transaction_id']} do not add up to nothing")


def _judge_money(verdict: Verdict, evidence: Evidence) -> None:
    """What budgets say is spent and held is what the reservations of their runs come to."""
    posted = {row["transaction_id"]: row["spent"] for row in evidence.postings}
    spent, held = Counter[str](), Counter[str]()
    for row in evidence.reservations:
        settled = row["settled_micro_usd"] or 0
        if row["state"] == "settled" and posted.get(row["reservation_id"], 0) != settled:
            verdict.double_commits.append(f"{row['reservation_id']} was settled with {settled}, posted otherwise")
        for budget_id in row["budget_ids"]:
            spent[budget_id] += settled if row["state"] == "settled" else 0
            held[budget_id] += row["ceiling_micro_usd"] if row["state"] in _OPEN else 0
    for row in evidence.budgets:
        counted = (spent[row["budget_id"]], held[row["budget_id"]])
        if (row["spent"], row["held"]) != counted:
            verdict.double_commits.append(
                f"{row['budget_id']} has spent {row['spent']} and holds {row['held']}; its calls say {counted}"
            )
