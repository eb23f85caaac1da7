"""The effect journal: what makes the result of a step exactly-once.

claim (fence, lease) → the effect → commit where the fence still matches. The key of a step is
independent of Temporal's run ids and attempts, so a retry, a restart and a reset all find the same row.
What cannot be closed is the window between a provider's answer and the commit; an attempt that was
replaced inside it is counted in `possible_duplicates`, never hidden.

All instants are the database's: workers' clocks need not agree.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import keyed_digest
from agentflow.flat_values import flat_dict
from agentflow.money import MicroUsd
from agentflow.statements import Statement
from runs.effects import EffectClass
from runs.errors import DeterminismViolation, EffectInDoubt, StepClaimed
from runs.models import StepKey, StepOutput, StepState, StepUsage

_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

#: The attempt that is replaced may have had its effect, which must not happen twice.
_IS_DOUBTFUL = "held.state = 'claimed' AND held.effect_class = 'at_most_once'"
_CLAIM = text(f"""
    INSERT INTO steps AS held (effect_key, org_id, run_id, node_id, item_index, item_count, generation, part, kind,
                               state, attempt, fence, lease_expires_at, request_digest, possible_duplicates,
                               effect_class, started_at)
    VALUES (:effect_key, :org_id, :run_id, :node_id, :item_index, :item_count, :generation, :part, :kind, 'claimed',
            :attempt, 1, now() + make_interval(secs => :lease_seconds), :request_digest, 0, :effect_class, now())
    ON CONFLICT (effect_key) DO UPDATE
    SET state = CASE WHEN {_IS_DOUBTFUL} THEN 'in_doubt' ELSE 'claimed' END,
        attempt = CASE WHEN {_IS_DOUBTFUL} THEN held.attempt ELSE excluded.attempt END,
        fence = CASE WHEN {_IS_DOUBTFUL} THEN held.fence ELSE held.fence + 1 END,
        lease_expires_at = CASE WHEN {_IS_DOUBTFUL} THEN NULL ELSE excluded.lease_expires_at END,
        error_code = CASE WHEN {_IS_DOUBTFUL} THEN 'step.in_doubt' END,
        error_message = CASE WHEN {_IS_DOUBTFUL} THEN 'its attempt ended without a word' END,
        finished_at = NULL,
        effect_class = coalesce(excluded.effect_class, held.effect_class),
        unsettled = coalesce(excluded.effect_class, held.effect_class, 'pure') = 'probe'
                    AND (held.unsettled OR held.state = 'claimed'),
        possible_duplicates = held.possible_duplicates
                              + (held.state = 'claimed' AND coalesce(held.effect_class, 'pure') = 'pure')::integer
    WHERE held.state NOT IN ('committed', 'in_doubt') AND held.request_digest = excluded.request_digest
      AND (held.state <> 'claimed' OR held.attempt < excluded.attempt OR held.lease_expires_at < now())
    RETURNING fence, state, unsettled
""")
#: Tokens are added to those of earlier attempts, as money is.
_USAGE = """cast(:usage AS jsonb) || jsonb_build_object(
        'input_tokens', coalesce((usage ->> 'input_tokens')::bigint, 0) + :input_tokens,
        'output_tokens', coalesce((usage ->> 'output_tokens')::bigint, 0) + :output_tokens)"""
#: Also where the step is in doubt: an attempt that was held for dead and brings its result ends the doubt.
_COMMIT = text(f"""
    UPDATE steps SET state = 'committed', unsettled = false, error_code = NULL, error_message = NULL,
                     output_digest = :output_digest, output_bytes = :output_bytes,
                     facts = cast(:facts AS jsonb), usage = {_USAGE},
                     cost_micro_usd = cost_micro_usd + :cost_micro_usd, lease_expires_at = NULL, finished_at = now()
    WHERE effect_key = :effect_key AND fence = :fence AND state IN ('claimed', 'in_doubt')
    RETURNING fence
""")
#: A pure step needs no claim: running it twice gives the same output, so it is recorded once, at its end.
_RECORD = text("""
    INSERT INTO steps AS held (effect_key, org_id, run_id, node_id, item_index, item_count, generation, part, kind,
                               state, attempt, fence, request_digest, possible_duplicates, output_digest,
                               output_bytes, facts, usage, started_at, finished_at)
    VALUES (:effect_key, :org_id, :run_id, :node_id, :item_index, :item_count, :generation, :part, :kind, 'committed',
            :attempt, 1, :request_digest, 0, :output_digest, :output_bytes, cast(:facts AS jsonb),
            cast(:usage AS jsonb), now() - make_interval(secs => :seconds), now())
    ON CONFLICT (effect_key) DO UPDATE
    SET state = 'committed', attempt = excluded.attempt, fence = held.fence + 1, output_digest = excluded.output_digest,
        output_bytes = excluded.output_bytes, facts = excluded.facts, usage = excluded.usage,
        error_code = NULL, error_message = NULL, finished_at = now()
    WHERE held.state <> 'committed' AND held.request_digest = excluded.request_digest
    RETURNING fence
""")
_TAKE_OVER = text("""
    INSERT INTO steps (effect_key, org_id, run_id, node_id, item_index, item_count, generation, part, kind, state,
                       attempt, fence, request_digest, possible_duplicates, output_digest, output_bytes, facts, usage,
                       started_at, finished_at)
    VALUES (:effect_key, :org_id, :run_id, :node_id, :item_index, :item_count, :generation, :part, :kind, 'committed',
            :attempt, 1, :request_digest, 0, :output_digest, :output_bytes, cast(:facts AS jsonb),
            cast(:usage AS jsonb), now(), now())
    ON CONFLICT (effect_key) DO NOTHING
""")
#: Money is added, not set: an attempt that failed may have cost something too.
_FAIL = text(f"""
    UPDATE steps SET state = :state, usage = {_USAGE}, error_code = :error_code,
                     error_message = :error_message, unsettled = :unsettled,
                     cost_micro_usd = cost_micro_usd + :cost_micro_usd, lease_expires_at = NULL, finished_at = now()
    WHERE effect_key = :effect_key AND fence = :fence AND state = 'claimed'
    RETURNING fence
""")
#: What a replaced attempt spent, on the row that is another's by now.
_ADD_COST = text("""
    UPDATE steps SET cost_micro_usd = cost_micro_usd + :cost_micro_usd
    WHERE effect_key = :effect_key AND fence > :fence
""")
_RECORD_FAILURE = text("""
    INSERT INTO steps AS held (effect_key, org_id, run_id, node_id, item_index, item_count, generation, part, kind,
                               state, attempt, fence, request_digest, possible_duplicates, error_code, error_message,
                               started_at, finished_at)
    VALUES (:effect_key, :org_id, :run_id, :node_id, :item_index, :item_count, :generation, :part, :kind, :state,
            :attempt, 1, :request_digest, 0, :error_code, :error_message,
            now() - make_interval(secs => :seconds), now())
    ON CONFLICT (effect_key) DO UPDATE
    SET state = excluded.state, attempt = excluded.attempt, error_code = excluded.error_code,
        error_message = excluded.error_message, finished_at = now()
    WHERE held.state <> 'committed' AND held.fence = 1
""")
_GET = text("""
    SELECT *, greatest(extract(epoch FROM lease_expires_at - now()), 0.1)::float AS lease_seconds
    FROM steps WHERE effect_key = :effect_key AND org_id = :org_id
""")
#: Whether a commit under this fence has been made: its acknowledgement can be lost with the connection.
_IS_COMMITTED = text("""
    SELECT 1 FROM steps
    WHERE effect_key = :effect_key AND fence = :fence AND state = 'committed' AND output_digest = :output_digest
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """What a step was asked to do, as far as the journal cares."""

    key: StepKey
    kind: str
    #: A digest of everything that the effect depends on.
    request_digest: str
    attempt: int
    item_count: int | None = None
    #: None for what is pure by its kind.
    effect_class: EffectClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to perform one step's effect, until another attempt takes it over."""

    effect_key: str
    fence: int
    #: True when an earlier attempt may have had its effect, and the tool is to be asked.
    unsettled: bool = False


@lru_cache(maxsize=1024)
def effect_key(key: StepKey) -> str:
    """The journal's identity of a step: the same for every attempt, worker and Temporal run."""
    part = () if key.part is None else (key.part,)
    return keyed_digest(key.org_id, key.run_id, key.node_id, key.item_index, key.generation, *part)


def run_id_below(key: StepKey) -> str:
    """The id of the one run that is a step, whoever asks how often."""
    return f"{key.run_id}-{keyed_digest(key.node_id, key.item_index, key.generation, key.part)[:12]}"


def claim_statement(request: StepRequest, *, lease_seconds: float) -> Statement:
    """Claims a step; gives its fence and state, `in_doubt` when it must not be performed; no row when it is held."""
    more = {"lease_seconds": lease_seconds, "effect_class": request.effect_class}
    return Statement(_CLAIM, {**_identity(request), **more})


def commit_statement(claim: Claim, *, output: StepOutput, usage: StepUsage) -> Statement:
    """Records the output under the claim's fence; gives no row when another attempt has taken over."""
    parameters = {
        "effect_key": claim.effect_key,
        "fence": claim.fence,
        "cost_micro_usd": usage.cost_micro_usd,
        **_tokens(usage),
        **_result(output, usage),
    }
    return Statement(_COMMIT, parameters)


def record_statement(request: StepRequest, *, output: StepOutput, usage: StepUsage, seconds: float) -> Statement:
    """Records the output of a pure step that took `seconds`; gives no row when it is recorded already."""
    return Statement(_RECORD, {**_identity(request), **_result(output, usage), "seconds": seconds})


class EffectJournal:
    """Claims and records steps inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, request: StepRequest, *, lease_seconds: float) -> Claim | StepOutput:
        """The right to perform the step, or the output that is recorded already.

        Raises DeterminismViolation when the step is recorded with another request, StepClaimed while another
        attempt's lease runs, and EffectInDoubt when a person must say what became of an earlier one. A higher attempt
        of the same activity takes over at once: Temporal gives it out only when it holds the earlier one for dead.
        """
        statement = claim_statement(request, lease_seconds=lease_seconds)
        rows = (await self._session.execute(statement.clause, statement.parameters)).all()
        if rows and rows[0].state == StepState.IN_DOUBT:
            raise EffectInDoubt(node_id=request.key.node_id, item_index=request.key.item_index)
        if rows:
            return Claim(effect_key=effect_key(request.key), fence=rows[0].fence, unsettled=rows[0].unsettled)
        return await self.existing(request)

    async def commit(self, claim: Claim, *, output: StepOutput, usage: StepUsage) -> bool:
        """Records the output under the claim's fence; False when another attempt has taken over.

        The same commit again, after its acknowledgement was lost, changes nothing and is True.
        """
        statement = commit_statement(claim, output=output, usage=usage)
        if (await self._session.execute(statement.clause, statement.parameters)).first() is not None:
            return True
        return await self.is_committed(claim, output=output)

    async def is_committed(self, claim: Claim, *, output: StepOutput) -> bool:
        """Whether this very output is recorded under this claim's fence."""
        parameters = {"effect_key": claim.effect_key, "fence": claim.fence, "output_digest": output.digest}
        return (await self._session.execute(_IS_COMMITTED, parameters)).first() is not None

    async def record(self, request: StepRequest, *, output: StepOutput, usage: StepUsage, seconds: float) -> StepOutput:
        """Records the output of a pure step that took `seconds`; returns what is recorded, an earlier one if any."""
        statement = record_statement(request, output=output, usage=usage, seconds=seconds)
        if (await self._session.execute(statement.clause, statement.parameters)).first() is not None:
            return output
        return await self.existing(request)

    async def fail(
        self,
        claim: Claim,
        *,
        state: StepState,
        error_code: str,
        error_message: str,
        usage: StepUsage,
        unsettled: bool = False,
    ) -> bool:
        """Records that the attempt ended without a result, and what it used; False when it was taken over.

        `unsettled` when its effect may have happened all the same, and the tool can be asked.
        """
        parameters = {
            "effect_key": claim.effect_key,
            "fence": claim.fence,
            "state": state.value,
            "error_code": error_code,
            "error_message": error_message,
            "cost_micro_usd": usage.cost_micro_usd,
            "usage": _jsonb(flat_dict(usage)),
            **_tokens(usage),
            "unsettled": unsettled,
        }
        return (await self._session.execute(_FAIL, parameters)).first() is not None

    async def add_cost(self, claim: Claim, cost: MicroUsd) -> None:
        """Adds what a claim that was taken over has spent; nothing while the claim is the latest."""
        parameters = {"effect_key": claim.effect_key, "fence": claim.fence, "cost_micro_usd": cost}
        await self._session.execute(_ADD_COST, parameters)

    async def record_failure(
        self, request: StepRequest, *, state: StepState, error_code: str, error_message: str, seconds: float
    ) -> None:
        """Records that a pure step, which needs no claim, ended without a result."""
        failure = {"state": state.value, "error_code": error_code, "error_message": error_message, "seconds": seconds}
        await self._session.execute(_RECORD_FAILURE, {**_identity(request), **failure})

    async def take_over(self, steps: Sequence[tuple[StepRequest, StepOutput]]) -> None:
        """Records outputs that another run has paid for; steps that are recorded already stay as they are."""
        rows = [{**_identity(request), **_result(output, StepUsage())} for request, output in steps]
        if rows:
            await self._session.execute(_TAKE_OVER, rows)

    async def recorded(self, request: StepRequest) -> StepOutput | None:
        """The output that is recorded for the step, if one is; raises DeterminismViolation as `claim`."""
        parameters = {"effect_key": effect_key(request.key), "org_id": request.key.org_id}
        row = (await self._session.execute(_GET, parameters)).first()
        output = output_of(row) if row is not None else None
        if row is not None and output is not None and row.request_digest != request.request_digest:
            raise DeterminismViolation(node_id=request.key.node_id, item_index=request.key.item_index)
        return output

    async def existing(self, request: StepRequest) -> StepOutput:
        """The output that is recorded; raises DeterminismViolation, StepClaimed or EffectInDoubt as `claim`."""
        parameters = {"effect_key": effect_key(request.key), "org_id": request.key.org_id}
        row = (await self._session.execute(_GET, parameters)).one()
        if row.request_digest != request.request_digest:
            raise DeterminismViolation(node_id=request.key.node_id, item_index=request.key.item_index)
        if row.state == StepState.IN_DOUBT:
            raise EffectInDoubt(node_id=request.key.node_id, item_index=request.key.item_index)
        output = output_of(row)
        if output is None:
            raise StepClaimed(node_id=request.key.node_id, retry_after_seconds=row.lease_seconds or 1.0)
        return output


def _identity(request: StepRequest) -> dict[str, Any]:
    return {
        "effect_key": effect_key(request.key),
        "org_id": request.key.org_id,
        "run_id": request.key.run_id,
        "node_id": request.key.node_id,
        "item_index": request.key.item_index,
        "item_count": request.item_count,
        "generation": request.key.generation,
        "part": request.key.part,
        "kind": request.kind,
        "attempt": request.attempt,
        "request_digest": request.request_digest,
    }


def _result(output: StepOutput, usage: StepUsage) -> dict[str, Any]:
    return {
        "output_digest": output.digest,
        "output_bytes": output.size_bytes,
        "facts": _jsonb(output.facts),
        "usage": _jsonb(flat_dict(usage)),
    }


def _tokens(usage: StepUsage) -> dict[str, int]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _jsonb(value: Mapping[str, Any]) -> str:
    """JSON as `jsonb` takes it: NUL and halves of surrogate pairs are replaced (PostgreSQL manual, section 8.14)."""
    well_formed = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return _ESCAPED_NUL.sub(r"\1\\ufffd", well_formed)


def output_of(row: Row[Any]) -> StepOutput | None:
    """The output that a row of the journal records; None when it records none."""
    if row.state != StepState.COMMITTED:
        return None
    return StepOutput(digest=row.output_digest, size_bytes=row.output_bytes, facts=row.facts)
