"""What the effect journal holds, read: steps, outputs, costs. Writing to it is `journal_repository`'s matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.money import MicroUsd
from runs.effects import EffectClass
from runs.facts import FINISH_REASON
from runs.journal_repository import output_of
from runs.models import ItemsSummary, Step, StepKey, StepOutput, StepState, StepUsage
from runs.plan import COMPENSATION

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
           min(item_index) FILTER (WHERE state = 'failed') AS first_failed_index,
           (array_agg(error_code ORDER BY state = 'failed' DESC, item_index)
               FILTER (WHERE error_code IS NOT NULL))[1] AS error_code,
           (array_agg(error_message ORDER BY state = 'failed' DESC, item_index)
               FILTER (WHERE error_code IS NOT NULL))[1] AS error_message
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
_FINISH_REASONS = text("""
    SELECT DISTINCT ON (node_id) node_id, facts ->> :fact AS reason FROM steps
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
#: Of maps that have ended, whose items are steps of this run.
_FAILED_ITEMS = text("""
    SELECT node_id, max(item_count) - count(*) FILTER (WHERE state = 'committed') AS failed
    FROM steps WHERE org_id = :org_id AND run_id = :run_id AND item_index IS NOT NULL AND part IS NULL
    GROUP BY node_id
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


class StepRepository:
    """Reads the steps of runs; every statement names the organisation."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

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

    async def failed_items(self, *, org_id: str, run_id: str) -> dict[str, int]:
        """Map → how many of its items have no output, for the maps of a run whose items are steps, once they ended."""
        rows = await self._session.execute(_FAILED_ITEMS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.failed for row in rows if row.failed}

    async def node_outputs(self, *, org_id: str, run_id: str) -> dict[str, str]:
        """Node id → digest of the output, for the nodes of a run that are one step and have ended well."""
        rows = await self._session.execute(_NODE_OUTPUTS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.output_digest for row in rows}

    async def finish_reasons(self, *, org_id: str, run_id: str) -> dict[str, str]:
        """Node id → how its answer ended, for nodes whose answer did not end as it should."""
        parameters = {"org_id": org_id, "run_id": run_id, "fact": FINISH_REASON}
        rows = await self._session.execute(_FINISH_REASONS, parameters)
        return {row.node_id: row.reason for row in rows if row.reason is not None}

    async def taken_back(self, *, org_id: str, run_id: str) -> set[str]:
        """The nodes of a run whose compensation has been performed."""
        parameters = {"org_id": org_id, "run_id": run_id, "part": COMPENSATION}
        return set((await self._session.execute(_TAKEN_BACK, parameters)).scalars())

    async def node_costs(self, *, org_id: str, run_id: str) -> dict[str, int]:
        """Node id → micro-USD that all its steps have cost, for the nodes of a run that have begun."""
        rows = await self._session.execute(_NODE_COSTS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.cost for row in rows}

    async def map_intervals(self, *, org_id: str, run_id: str) -> list[MapInterval]:
        """When each map of a run worked on its items, for maps that began."""
        rows = await self._session.execute(_MAP_INTERVALS, {"org_id": org_id, "run_id": run_id})
        return [MapInterval(**row) for row in rows.mappings()]


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
        output=output_of(row),
        usage=StepUsage(**{**usage, "cost_micro_usd": MicroUsd(row.cost_micro_usd)}),
        possible_duplicates=row.possible_duplicates,
        error_code=row.error_code,
        error_message=row.error_message,
        started_at=row.started_at,
        finished_at=row.finished_at,
        effect_class=EffectClass(row.effect_class) if row.effect_class is not None else None,
    )
