"""SQL of steps in doubt: which they are, and what a person said of them; every statement names the organisation.

A step in doubt keeps its fence. An attempt that was held for dead may therefore still bring its result, which ends the
doubt; once a person has resolved it the fence is higher, and such a result comes too late.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.storable_text import storable_text
from runs.effects import EffectClass
from runs.journal_repository import effect_key
from runs.models import StepKey, StepOutput, StepState

#: What ended without a word, and must not or cannot be performed again just so.
_IS_OPEN = """
    effect_class IN ('at_most_once', 'probe')
    AND (state = 'claimed' OR (unsettled AND state IN ('failed', 'cancelled')))
"""
_INTO_DOUBT = """
    state = 'in_doubt', lease_expires_at = NULL, finished_at = now(),
    error_code = 'step.in_doubt', error_message = coalesce(error_message, 'its attempt ended without a word')
"""
_OPEN = text(f"""
    UPDATE steps SET {_INTO_DOUBT} WHERE org_id = :org_id AND effect_key = :effect_key AND {_IS_OPEN}
    RETURNING fence
""")
_CLOSE_RUN = text(f"""
    UPDATE steps SET {_INTO_DOUBT} WHERE org_id = :org_id AND run_id = :run_id AND {_IS_OPEN}
    RETURNING effect_class
""")
_GET = text("""
    SELECT state, fence, attempt, effect_class, started_at, error_message, output_digest, output_bytes, facts
    FROM steps WHERE org_id = :org_id AND effect_key = :effect_key
""")
_LEFT_BY_EARLIER = text("""
    SELECT 1 FROM runs JOIN steps ON steps.org_id = runs.org_id AND steps.run_id = runs.rerun_of
    WHERE runs.org_id = :org_id AND runs.run_id = :run_id AND steps.node_id = :node_id
      AND steps.item_index IS NOT DISTINCT FROM :item_index AND steps.part IS NOT DISTINCT FROM :part
      AND steps.state = 'in_doubt'
    LIMIT 1
""")
_INHERIT = text("""
    UPDATE steps SET state = 'in_doubt', lease_expires_at = NULL, finished_at = now(), error_code = 'step.in_doubt',
                     error_message = 'the run that this one repeats left it in doubt'
    WHERE org_id = :org_id AND effect_key = :effect_key AND fence = :fence AND state = 'claimed'
""")
_PERFORMED = text("""
    UPDATE steps SET state = 'committed', fence = fence + 1, unsettled = false, output_digest = :output_digest,
                     output_bytes = :output_bytes, facts = cast(:facts AS jsonb), error_code = NULL,
                     error_message = NULL, finished_at = now()
    WHERE org_id = :org_id AND effect_key = :effect_key AND fence = :fence AND state = 'in_doubt'
    RETURNING fence
""")
_NOT_PERFORMED = text("""
    UPDATE steps SET state = 'failed', fence = fence + 1, unsettled = false, error_code = 'step.not_performed',
                     error_message = :error_message, finished_at = now()
    WHERE org_id = :org_id AND effect_key = :effect_key AND fence = :fence AND state = 'in_doubt'
    RETURNING fence
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A step whose effect may have happened."""

    fence: int
    attempt: int
    effect_class: EffectClass
    started_at: datetime
    #: Why nobody knows.
    reason: str
    #: True for who has just put it in doubt.
    is_new: bool = False


class DoubtRepository:
    """Puts steps in doubt and takes them out of it, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, key: StepKey) -> Doubt | StepOutput | None:
        """The step's doubt, its output when it has one after all, or None when nothing can have happened.

        Only for a step that no attempt is given out for any more: one that is claimed comes to be in doubt.
        """
        parameters = {"org_id": key.org_id, "effect_key": effect_key(key)}
        is_new = (await self._session.execute(_OPEN, parameters)).first() is not None
        found = await self.find(key)
        return replace(found, is_new=True) if is_new and isinstance(found, Doubt) else found

    async def find(self, key: StepKey) -> Doubt | StepOutput | None:
        """As `open`, changing nothing."""
        parameters = {"org_id": key.org_id, "effect_key": effect_key(key)}
        row = (await self._session.execute(_GET, parameters)).first()
        return None if row is None else _found(row)

    async def is_left_by_earlier_run(self, key: StepKey) -> bool:
        """Whether the run that this one repeats left the same step in doubt."""
        parameters = {
            "org_id": key.org_id,
            "run_id": key.run_id,
            "node_id": key.node_id,
            "item_index": key.item_index,
            "part": key.part,
        }
        return (await self._session.execute(_LEFT_BY_EARLIER, parameters)).first() is not None

    async def inherit(self, key: StepKey, *, fence: int) -> None:
        """Puts a claimed step in doubt that an earlier run left so; does nothing when the claim was taken over."""
        parameters = {"org_id": key.org_id, "effect_key": effect_key(key), "fence": fence}
        await self._session.execute(_INHERIT, parameters)

    async def close_run(self, *, org_id: str, run_id: str) -> list[EffectClass]:
        """Puts every step in doubt that the end of its run leaves without a word; the class of each."""
        rows = await self._session.execute(_CLOSE_RUN, {"org_id": org_id, "run_id": run_id})
        return [EffectClass(row.effect_class) for row in rows]

    async def performed(self, key: StepKey, *, fence: int, output: StepOutput) -> bool:
        """Records the output that a person gives; False when the step is not in this doubt any more."""
        parameters = {
            **_which(key, fence),
            "output_digest": output.digest,
            "output_bytes": output.size_bytes,
            "facts": json.dumps(dict(output.facts)),
        }
        return (await self._session.execute(_PERFORMED, parameters)).first() is not None

    async def not_performed(self, key: StepKey, *, fence: int, decided_by: str) -> bool:
        """Lets the step be performed again; False when it is not in this doubt any more."""
        message = storable_text(f"{decided_by} says that it was not performed")
        parameters = {**_which(key, fence), "error_message": message}
        return (await self._session.execute(_NOT_PERFORMED, parameters)).first() is not None


def _which(key: StepKey, fence: int) -> dict[str, Any]:
    return {"org_id": key.org_id, "effect_key": effect_key(key), "fence": fence}


def _found(row: Row[Any]) -> Doubt | StepOutput | None:
    if row.state == StepState.COMMITTED:
        return StepOutput(digest=row.output_digest, size_bytes=row.output_bytes, facts=row.facts)
    if row.state != StepState.IN_DOUBT:
        return None
    return Doubt(
        fence=row.fence,
        attempt=row.attempt,
        effect_class=EffectClass(row.effect_class),
        started_at=row.started_at,
        reason=row.error_message or "",
    )
