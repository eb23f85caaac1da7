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
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import keyed_digest
from agentflow.money import MicroUsd
from agentflow.statements import Statement
from runs.effects import EffectClass
from runs.errors import DeterminismViolation, EffectInDoubt, StepClaimed
from runs.models import ItemsSummary, Step, StepKey, StepOutput, StepState, StepUsage
from runs.plan import COMPENSATION

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
#: Also where the step is in doubt: an attempt that was held for dead and brings its result ends the doubt.
_COMMIT = text("""
    UPDATE steps SET state = 'committed', unsettled = false, error_code = NULL, error_message = NULL,
                     output_digest = :output_digest, output_bytes = :output_bytes,
                     facts = cast(:facts AS jsonb), usage = cast(:usage AS jsonb),
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
_FAIL = text("""
    UPDATE steps SET state = :state, error_code = :error_code, error_message = :error_message, unsettled = :unsettled,
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
_LIST = text("""
    SELECT * FROM steps WHERE org_id = :org_id AND run_id = :run_id
    ORDER BY started_at, node_id, item_index NULLS FIRST
""")
#: Without the items of large maps, of which there may be a hundred thousand.
_LIST_FEW = text("""
    SELECT steps.* FROM steps WHERE org_id = :org_id AND run_id = :run_id
      AND (item_index IS NULL OR NOT EXISTS (
          SELECT FROM maps WHERE maps.org_id = steps.org_id AND maps.run_id = steps.run_id
            AND maps.node_id = steps.node_id AND maps.generation = steps.generation
      ))
    ORDER BY started_at, node_id, item_index NULLS FIRST
""")
_ITEM_SUMMARIES = text("""
    WITH items AS (
        SELECT steps.* FROM steps JOIN maps USING (org_id, run_id, node_id, generation)
        WHERE org_id = :org_id AND run_id = :run_id AND steps.item_index IS NOT NULL AND NOT maps.is_batched
    ),
    pii AS (
        SELECT node_id, found.kind, sum(found.occurrences::bigint) AS occurrences
        FROM items CROSS JOIN LATERAL jsonb_each_text(coalesce(usage -> 'pii', '{}')) AS found (kind, occurrences)
        GROUP BY node_id, found.kind
    )
    SELECT node_id, count(*) FILTER (WHERE state = 'committed') AS done,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt, max(attempt) AS attempts,
           coalesce(sum((usage ->> 'input_tokens')::bigint), 0)::bigint AS input_tokens,
           coalesce(sum((usage ->> 'output_tokens')::bigint), 0)::bigint AS output_tokens,
           sum(cost_micro_usd)::bigint AS cost_micro_usd,
           count(*) FILTER (WHERE (usage ->> 'cache_hit')::boolean) AS cache_hits,
           array_remove(array_agg(DISTINCT usage ->> 'model'), NULL) AS models,
           coalesce(
               (SELECT jsonb_object_agg(pii.kind, occurrences) FROM pii WHERE pii.node_id = items.node_id), '{}'
           ) AS pii,
           (array_agg(error_code ORDER BY item_index) FILTER (WHERE error_code IS NOT NULL))[1] AS error_code,
           (array_agg(error_message ORDER BY item_index) FILTER (WHERE error_code IS NOT NULL))[1] AS error_message
    FROM items GROUP BY node_id
""")
_ITEM_OUTPUTS = text("""
    SELECT item_index, output_digest FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND node_id = :node_id AND generation = :generation
      AND state = 'committed' AND item_index IS NOT NULL
    ORDER BY item_index
""")
_NODE_OUTPUTS = text("""
    SELECT DISTINCT ON (node_id) node_id, output_digest FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND item_index IS NULL AND part IS NULL AND state = 'committed'
    ORDER BY node_id, generation DESC
""")
_TAKEN_BACK = text("""
    SELECT node_id FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND part = :part AND state = 'committed'
""")
_NODE_COSTS = text("""
    SELECT node_id, sum(cost_micro_usd)::bigint AS cost FROM steps
    WHERE org_id = :org_id AND run_id = :run_id GROUP BY node_id
""")
_ITEM_RESULTS = text("""
    SELECT item_index, output_digest, output_bytes, facts FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND node_id = :node_id AND generation = :generation
      AND state = 'committed' AND item_index >= :first AND item_index < :stop
    ORDER BY item_index
""")
#: Whether a commit under this fence has been made: its acknowledgement can be lost with the connection.
_IS_COMMITTED = text("""
    SELECT 1 FROM steps
    WHERE effect_key = :effect_key AND fence = :fence AND state = 'committed' AND output_digest = :output_digest
""")
_MAP_INTERVALS = text("""
    SELECT node_id, min(started_at) AS started_at, max(finished_at) AS finished_at, max(item_count) AS item_count
    FROM steps WHERE org_id = :org_id AND run_id = :run_id AND item_index IS NOT NULL
    GROUP BY node_id ORDER BY node_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInterval:
    """When the items of a map were worked on."""

    node_id: str
    started_at: datetime
    #: None while no item has ended.
    finished_at: datetime | None
    item_count: int


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


def effect_key(key: StepKey) -> str:
    """The journal's identity of a step: the same for every attempt, worker and Temporal run."""
    part = () if key.part is None else (key.part,)
    return keyed_digest(key.org_id, key.run_id, key.node_id, key.item_index, key.generation, *part)


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
        cost: MicroUsd,
        unsettled: bool = False,
    ) -> bool:
        """Records that the attempt ended without a result, and what it cost; False when it was taken over.

        `unsettled` when its effect may have happened all the same, and the tool can be asked.
        """
        parameters = {
            "effect_key": claim.effect_key,
            "fence": claim.fence,
            "state": state.value,
            "error_code": error_code,
            "error_message": error_message,
            "cost_micro_usd": cost,
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

    async def steps_of(self, *, org_id: str, run_id: str) -> list[Step]:
        """All steps of a run, in the order in which they began."""
        rows = await self._session.execute(_LIST, {"org_id": org_id, "run_id": run_id})
        return [_step(row) for row in rows]

    async def few_steps_of(self, *, org_id: str, run_id: str) -> list[Step]:
        """The steps of a run, in the order in which they began, less the items of large maps."""
        rows = await self._session.execute(_LIST_FEW, {"org_id": org_id, "run_id": run_id})
        return [_step(row) for row in rows]

    async def item_summaries(self, *, org_id: str, run_id: str) -> list[ItemsSummary]:
        """What the items of a run's large maps come to, where each is a step of its own."""
        rows = await self._session.execute(_ITEM_SUMMARIES, {"org_id": org_id, "run_id": run_id})
        return [
            ItemsSummary(**{**row, "models": tuple(row["models"]), "cost_micro_usd": MicroUsd(row["cost_micro_usd"])})
            for row in rows.mappings()
        ]

    async def item_outputs(self, key: StepKey) -> dict[int, str]:
        """Item index → output digest of the finished items of a map."""
        parameters = {
            "org_id": key.org_id,
            "run_id": key.run_id,
            "node_id": key.node_id,
            "generation": key.generation,
        }
        rows = await self._session.execute(_ITEM_OUTPUTS, parameters)
        return {row.item_index: row.output_digest for row in rows}

    async def item_results(self, key: StepKey, items: range) -> dict[int, StepOutput]:
        """Item index → output of the finished items of a range of a map."""
        parameters = {
            "org_id": key.org_id,
            "run_id": key.run_id,
            "node_id": key.node_id,
            "generation": key.generation,
            "first": items.start,
            "stop": items.stop,
        }
        rows = await self._session.execute(_ITEM_RESULTS, parameters)
        return {
            row.item_index: StepOutput(digest=row.output_digest, size_bytes=row.output_bytes, facts=row.facts)
            for row in rows
        }

    async def node_outputs(self, *, org_id: str, run_id: str) -> dict[str, str]:
        """Node id → digest of the output, for the nodes of a run that are one step and have ended well."""
        rows = await self._session.execute(_NODE_OUTPUTS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.output_digest for row in rows}

    async def taken_back(self, *, org_id: str, run_id: str) -> set[str]:
        """The nodes of a run whose compensation has been performed."""
        parameters = {"org_id": org_id, "run_id": run_id, "part": COMPENSATION}
        return set((await self._session.execute(_TAKEN_BACK, parameters)).scalars())

    async def node_costs(self, *, org_id: str, run_id: str) -> dict[str, int]:
        """Node id → micro-USD that all its steps have cost, for the nodes of a run that have begun."""
        rows = await self._session.execute(_NODE_COSTS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.cost for row in rows}

    async def take_over(self, steps: Sequence[tuple[StepRequest, StepOutput]]) -> None:
        """Records outputs that another run has paid for; steps that are recorded already stay as they are."""
        rows = [{**_identity(request), **_result(output, StepUsage())} for request, output in steps]
        if rows:
            await self._session.execute(_TAKE_OVER, rows)

    async def map_intervals(self, *, org_id: str, run_id: str) -> list[MapInterval]:
        """When each map of a run worked on its items, for maps that began."""
        rows = await self._session.execute(_MAP_INTERVALS, {"org_id": org_id, "run_id": run_id})
        return [MapInterval(**row) for row in rows.mappings()]

    async def existing(self, request: StepRequest) -> StepOutput:
        """The output that is recorded; raises DeterminismViolation, StepClaimed or EffectInDoubt as `claim`."""
        parameters = {"effect_key": effect_key(request.key), "org_id": request.key.org_id}
        row = (await self._session.execute(_GET, parameters)).one()
        if row.request_digest != request.request_digest:
            raise DeterminismViolation(node_id=request.key.node_id, item_index=request.key.item_index)
        if row.state == StepState.IN_DOUBT:
            raise EffectInDoubt(node_id=request.key.node_id, item_index=request.key.item_index)
        output = _output(row)
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
        "usage": _jsonb(asdict(usage)),
    }


def _jsonb(value: Mapping[str, Any]) -> str:
    """JSON as `jsonb` takes it: NUL and halves of surrogate pairs are replaced (PostgreSQL manual, section 8.14)."""
    well_formed = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return _ESCAPED_NUL.sub(r"\1\\ufffd", well_formed)


def _output(row: Row[Any]) -> StepOutput | None:
    if row.state != StepState.COMMITTED:
        return None
    return StepOutput(digest=row.output_digest, size_bytes=row.output_bytes, facts=row.facts)


def _step(row: Row[Any]) -> Step:
    usage: Mapping[str, Any] = row.usage or {}
    return Step(
        key=StepKey(
            org_id=row.org_id,
            run_id=row.run_id,
            node_id=row.node_id,
            item_index=row.item_index,
            generation=row.generation,
            part=row.part,
        ),
        kind=row.kind,
        state=StepState(row.state),
        attempt=row.attempt,
        fence=row.fence,
        item_count=row.item_count,
        output=_output(row),
        usage=StepUsage(**{**usage, "cost_micro_usd": MicroUsd(row.cost_micro_usd)}),
        possible_duplicates=row.possible_duplicates,
        error_code=row.error_code,
        error_message=row.error_message,
        started_at=row.started_at,
        finished_at=row.finished_at,
        effect_class=EffectClass(row.effect_class) if row.effect_class is not None else None,
    )
