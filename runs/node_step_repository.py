"""SQL of the steps of one node, for people: its own, those it is made of, and the items of a map, batched or not."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.money import MicroUsd
from runs.effects import EffectClass
from runs.errors import CursorInvalid
from runs.models import StepKey, StepState, StepUsage

_STEP_COLUMNS = """
    coalesce(item_index, -1) AS place, started_at AS began_at, effect_key, item_index, part, kind, state, attempt,
    error_code, error_message, usage, cost_micro_usd, possible_duplicates, effect_class, output_digest,
    cast(NULL AS text) AS output, started_at, finished_at
"""
#: The parts that a batched item does not have are as a step's that has used nothing.
_ITEM_COLUMNS = """
    items.item_index AS place, maps.opened_at AS began_at, '' AS effect_key, items.item_index, NULL AS part,
    'function' AS kind, items.state, 1 AS attempt, items.error_code, items.error_message, cast(NULL AS jsonb) AS usage,
    cast(0 AS bigint) AS cost_micro_usd, 0 AS possible_duplicates, NULL AS effect_class, items.output_digest,
    items.output, cast(NULL AS timestamptz) AS started_at, items.finished_at
"""
#: Of a map that has ended: what became of an item whose step never began, or never told.
_UNRECORDED_COLUMNS = """
    missing.item_index AS place, maps.opened_at AS began_at, '' AS effect_key, missing.item_index, NULL AS part,
    'none' AS kind, 'failed' AS state, 0 AS attempt, 'step.unrecorded' AS error_code,
    'nothing is recorded of it: no worker began it in time, or none told of it' AS error_message,
    cast(NULL AS jsonb) AS usage, cast(0 AS bigint) AS cost_micro_usd, 0 AS possible_duplicates,
    NULL AS effect_class, NULL AS output_digest, cast(NULL AS text) AS output, cast(NULL AS timestamptz) AS started_at,
    maps.closed_at AS finished_at
"""
_OF_NODE = "org_id = :org_id AND run_id = :run_id AND node_id = :node_id"
_ITEMS = f"""
    (SELECT * FROM maps WHERE {_OF_NODE} AND is_batched) AS maps
    JOIN map_items AS items ON items.org_id = maps.org_id AND items.map_id = maps.map_id
"""
_FIND = text(f"""
    SELECT {_STEP_COLUMNS} FROM steps
    WHERE {_OF_NODE} AND item_index IS NOT DISTINCT FROM cast(:item_index AS integer)
      AND part IS NOT DISTINCT FROM cast(:part AS varchar)
    UNION ALL
    SELECT {_ITEM_COLUMNS} FROM {_ITEMS}
    WHERE items.item_index = cast(:item_index AS integer) AND cast(:part AS varchar) IS NULL
    LIMIT 1
""")
#: Each side is bounded for itself, so that a page of a million batched items reads no more than the page.
_PAGE = text(f"""
    (SELECT {_STEP_COLUMNS} FROM steps
     WHERE {_OF_NODE} AND (cast(:state AS varchar) IS NULL OR state = :state)
       AND (cast(:item_index AS integer) IS NULL OR item_index = :item_index)
       AND (coalesce(item_index, -1), started_at, effect_key) > (:after_place, :after_began_at, :after_effect_key)
     ORDER BY coalesce(item_index, -1), started_at, effect_key LIMIT :limit)
    UNION ALL
    (SELECT {_ITEM_COLUMNS} FROM {_ITEMS}
     WHERE (cast(:state AS varchar) IS NULL OR items.state = :state)
       AND (cast(:item_index AS integer) IS NULL OR items.item_index = :item_index)
       AND items.item_index > :after_place
     ORDER BY items.item_index LIMIT :limit)
    UNION ALL
    (SELECT {_UNRECORDED_COLUMNS}
     FROM (SELECT * FROM maps WHERE {_OF_NODE} AND NOT is_batched AND failed > 0) AS maps
     CROSS JOIN LATERAL generate_series(greatest(cast(:after_place AS integer) + 1, 0), maps.item_count - 1)
         AS missing (item_index)
     WHERE coalesce(cast(:state AS varchar), 'failed') = 'failed'
       AND (cast(:item_index AS integer) IS NULL OR missing.item_index = :item_index)
       AND NOT EXISTS (
           SELECT FROM steps WHERE {_OF_NODE} AND steps.generation = maps.generation
             AND steps.item_index = missing.item_index AND steps.part IS NULL
       )
     ORDER BY missing.item_index LIMIT :limit)
    ORDER BY place, began_at, effect_key LIMIT :limit
""")
_LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlace:
    """Where a step stands among those of its node: items by index, the parts of a node as they began."""

    place: int
    began_at: datetime
    effect_key: str

    def __str__(self) -> str:
        return f"{self.place}|{self.began_at.isoformat()}|{self.effect_key}"

    @classmethod
    def of(cls, text: str) -> "StepPlace":
        """What `str` made; raises CursorInvalid for anything else."""
        try:
            place, began_at, key = text.split("|")
            found = cls(place=int(place), began_at=datetime.fromisoformat(began_at), effect_key=key)
        except ValueError as error:
            raise CursorInvalid from error
        if not -1 <= found.place <= _LARGEST_INTEGER or found.began_at.tzinfo is None:
            raise CursorInvalid
        return found


#: Before every step.
FIRST_PLACE = StepPlace(place=-2, began_at=datetime(1, 1, 1, tzinfo=UTC), effect_key="")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStep:
    """A step, or a batched item, as it stands."""

    where: StepPlace
    item_index: int | None
    part: str | None
    kind: str
    state: StepState
    attempt: int
    error_code: str | None
    error_message: str | None
    usage: StepUsage
    possible_duplicates: int
    effect_class: EffectClass | None
    output_digest: str | None
    #: Of a batched item, when it is small: canonical JSON.
    output: str | None = field(repr=False)
    #: None of a batched item.
    started_at: datetime | None
    finished_at: datetime | None


class NodeStepRepository:
    """Reads the steps of a node inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, key: StepKey) -> NodeStep | None:
        """One step or batched item."""
        parameters = {**_of_node(key), "item_index": key.item_index, "part": key.part}
        row = (await self._session.execute(_FIND, parameters)).first()
        return None if row is None else _node_step(row)

    async def page(self, key: StepKey, *, state: StepState | None, after: StepPlace, limit: int) -> list[NodeStep]:
        """At most `limit` steps of the node, or of one item of it, that stand after a place."""
        parameters = {
            **_of_node(key),
            "item_index": key.item_index,
            "state": None if state is None else state.value,
            "after_place": after.place,
            "after_began_at": after.began_at,
            "after_effect_key": after.effect_key,
            "limit": limit,
        }
        return [_node_step(row) for row in await self._session.execute(_PAGE, parameters)]


def _of_node(key: StepKey) -> dict[str, Any]:
    return {"org_id": key.org_id, "run_id": key.run_id, "node_id": key.node_id}


def _node_step(row: Row[Any]) -> NodeStep:
    return NodeStep(
        where=StepPlace(place=row.place, began_at=row.began_at, effect_key=row.effect_key),
        item_index=row.item_index,
        part=row.part,
        kind=row.kind,
        state=StepState(row.state),
        attempt=row.attempt,
        error_code=row.error_code,
        error_message=row.error_message,
        usage=StepUsage(**{**(row.usage or {}), "cost_micro_usd": MicroUsd(row.cost_micro_usd)}),
        possible_duplicates=row.possible_duplicates,
        effect_class=EffectClass(row.effect_class) if row.effect_class is not None else None,
        output_digest=row.output_digest,
        output=row.output,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
