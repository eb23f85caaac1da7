"""SQL of budgets, reservations and the ledger.

Reserving and settling are one statement each: the budgets are locked first, in the order of their ids, so that
nobody waits in a circle whichever windows are touched; the sums are checked under the lock, and either every budget
holds the money or none does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import Json
from agentflow.money import MicroUsd
from agentflow.statements import Statement
from cas.models import Budget, BudgetStatus, Period, ReservationRequest, ReservationState, UnsettledMoney

#: The budgets that a run's calls count against, with the start of their present window.
_APPLICABLE = """
    SELECT budget_id, limit_micro_usd, period, CASE period
        WHEN 'daily' THEN cast(:daily AS timestamptz)
        WHEN 'weekly' THEN cast(:weekly AS timestamptz)
        WHEN 'monthly' THEN cast(:monthly AS timestamptz)
        ELSE to_timestamp(0)
    END AS window_start
    FROM budgets WHERE org_id = :org_id AND (run_id IS NULL OR run_id = :run_id)
"""
_ENSURE_WINDOWS = text(f"""
    WITH applicable AS ({_APPLICABLE})
    INSERT INTO budget_windows (budget_id, window_start, org_id)
    SELECT budget_id, window_start, :org_id FROM applicable ORDER BY budget_id
    ON CONFLICT (budget_id, window_start) DO NOTHING
""")
_RESERVE = text(f"""
    WITH applicable AS ({_APPLICABLE} ORDER BY budget_id FOR NO KEY UPDATE),
    locked AS (
        SELECT windows.budget_id, windows.window_start, applicable.period,
               applicable.limit_micro_usd - windows.spent_micro_usd - windows.held_micro_usd AS available
        FROM budget_windows AS windows JOIN applicable USING (budget_id, window_start)
        ORDER BY windows.budget_id FOR UPDATE OF windows
    ),
    verdict AS (
        SELECT (SELECT count(*) FROM applicable) = count(*) AS complete,
               coalesce(bool_and(available >= :ceiling), true) AS fits,
               coalesce(array_agg(budget_id ORDER BY budget_id), '{{}}') AS budget_ids,
               coalesce(array_agg(window_start ORDER BY budget_id), '{{}}') AS window_starts,
               EXISTS (
                   SELECT FROM exact_cache WHERE org_id = :org_id AND expires_at > now()
                     AND cache_key = ANY(cast(:unless_cached AS varchar[]))
               ) AS is_cached
        FROM locked
    ),
    inserted AS (
        INSERT INTO reservations (reservation_id, org_id, run_id, provider, model, ceiling_micro_usd, state,
                                  budget_ids, window_starts, created_at, expires_at)
        SELECT :reservation_id, :org_id, :run_id, :provider, :model, :ceiling, 'held',
               budget_ids, window_starts, now(), now() + make_interval(secs => :lease_seconds)
        FROM verdict WHERE complete AND fits AND NOT is_cached
        ON CONFLICT (reservation_id) DO NOTHING
        RETURNING reservation_id
    ),
    held AS (
        UPDATE budget_windows AS windows SET held_micro_usd = windows.held_micro_usd + :ceiling
        FROM locked, inserted
        WHERE windows.budget_id = locked.budget_id AND windows.window_start = locked.window_start
        RETURNING windows.budget_id
    )
    SELECT complete, fits, is_cached, tightest.budget_id, tightest.period, tightest.available
    FROM verdict LEFT JOIN LATERAL (
        SELECT budget_id, period, available FROM locked ORDER BY available, budget_id LIMIT 1
    ) AS tightest ON true
""")
#: What is uncertain is not waited for: it may be a day until someone knows.
_FITS_WITHOUT_HOLDS = text(f"""
    WITH applicable AS ({_APPLICABLE})
    SELECT coalesce(bool_and(
        applicable.limit_micro_usd - coalesce(windows.spent_micro_usd, 0) - uncertain.micro_usd >= :ceiling
    ), true)
    FROM applicable LEFT JOIN budget_windows AS windows USING (budget_id, window_start)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(ceiling_micro_usd), 0) AS micro_usd
        FROM reservations CROSS JOIN LATERAL unnest(budget_ids, window_starts) AS held (budget_id, window_start)
        WHERE org_id = :org_id AND state = 'uncertain'
          AND held.budget_id = applicable.budget_id AND held.window_start = applicable.window_start
    ) AS uncertain
""")
#: What was written off is in the ledger, and in no step's cost: whether it was spent is as unknown as before.
_UNSETTLED_OF_RUN = text("""
    SELECT coalesce(sum(ceiling_micro_usd) FILTER (WHERE state = 'held'), 0)::bigint AS held,
           coalesce(sum(ceiling_micro_usd) FILTER (WHERE state <> 'held'), 0)::bigint AS uncertain
    FROM reservations WHERE org_id = :org_id AND run_id = :run_id AND state IN ('held', 'uncertain', 'written_off')
""")
_IS_OPEN = text("""
    SELECT count(*) FROM reservations
    WHERE reservation_id = :reservation_id AND org_id = :org_id AND state IN ('held', 'uncertain')
""")


def _ending(*, which: str, actual: str) -> TextClause:
    """Ends the reservations that `which` selects: takes holds back, counts what was spent, posts both sides of it."""
    return text(f"""
    WITH ended AS (
        UPDATE reservations SET state = :state, settled_micro_usd = {actual}, ended_at = now()
        WHERE {which}
        RETURNING *
    ),
    locked AS (
        SELECT windows.budget_id, windows.window_start, ended.ceiling_micro_usd, ended.settled_micro_usd
        FROM ended CROSS JOIN LATERAL unnest(ended.budget_ids, ended.window_starts) AS held (budget_id, window_start)
        JOIN budgets USING (budget_id)
        JOIN budget_windows AS windows USING (budget_id, window_start)
        ORDER BY windows.budget_id, windows.window_start FOR NO KEY UPDATE OF budgets FOR UPDATE OF windows
    ),
    moved AS (
        UPDATE budget_windows AS windows
        SET held_micro_usd = windows.held_micro_usd - sums.ceiling_micro_usd,
            spent_micro_usd = windows.spent_micro_usd + sums.settled_micro_usd
        FROM (
            SELECT budget_id, window_start, sum(ceiling_micro_usd) AS ceiling_micro_usd,
                   sum(settled_micro_usd) AS settled_micro_usd
            FROM locked GROUP BY budget_id, window_start
        ) AS sums
        WHERE windows.budget_id = sums.budget_id AND windows.window_start = sums.window_start
        RETURNING windows.budget_id
    ),
    posted AS (
        INSERT INTO ledger_entries (org_id, transaction_id, account, amount_micro_usd, run_id, reason, details,
                                    created_at)
        SELECT ended.org_id, ended.reservation_id, sides.account, sides.amount, ended.run_id, :reason,
               cast(:details AS jsonb), now()
        FROM ended CROSS JOIN LATERAL (VALUES
            ('spend:' || ended.provider || '/' || ended.model, ended.settled_micro_usd),
            ('funds', -ended.settled_micro_usd)
        ) AS sides (account, amount)
        WHERE ended.settled_micro_usd > 0
        RETURNING entry_id
    )
    SELECT reservation_id FROM ended
    """)


_END = _ending(
    which="reservation_id = :reservation_id AND org_id = :org_id AND state IN ('held', 'uncertain')", actual=":actual"
)
#: A hold that someone settles at this moment is passed over.
_WRITE_OFF = _ending(
    which="""reservation_id = ANY(ARRAY(
        SELECT reservation_id FROM reservations
        WHERE state = 'uncertain' AND expires_at < now() - make_interval(secs => :seconds)
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ))""",
    actual="ceiling_micro_usd",
)
_MARK_UNCERTAIN = text("""
    UPDATE reservations SET state = 'uncertain' WHERE reservation_id = :reservation_id AND org_id = :org_id
      AND state = 'held'
    RETURNING reservation_id
""")
#: A hold that someone else is at is passed over, so that sweeps at once never wait for one another in a circle.
_EXPIRE_HOLDS = text("""
    UPDATE reservations SET state = 'uncertain' WHERE reservation_id = ANY(ARRAY(
        SELECT reservation_id FROM reservations WHERE state = 'held' AND expires_at < now() FOR UPDATE SKIP LOCKED
    ))
    RETURNING reservation_id
""")
_ADD_BUDGET = text("""
    INSERT INTO budgets (budget_id, org_id, period, limit_micro_usd, run_id, created_at)
    VALUES (:budget_id, :org_id, :period, :limit_micro_usd, :run_id, :created_at)
    ON CONFLICT DO NOTHING
""")
_STATUS = text(f"""
    WITH applicable AS ({_APPLICABLE})
    SELECT budgets.*, applicable.window_start, coalesce(windows.spent_micro_usd, 0) AS spent_micro_usd,
           coalesce(windows.held_micro_usd, 0) AS held_micro_usd
    FROM budgets JOIN applicable USING (budget_id)
    LEFT JOIN budget_windows AS windows
      ON windows.budget_id = budgets.budget_id AND windows.window_start = applicable.window_start
    WHERE budgets.org_id = :org_id AND budgets.budget_id > :after
    ORDER BY budgets.budget_id LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveOutcome:
    """What the reserving statement found."""

    #: False when a window of a budget has no row yet.
    complete: bool
    fits: bool
    #: True when the cache has an answer, so that nothing was set aside.
    is_cached: bool
    #: The budget with the least left, and how much that is; None without any budget.
    tightest_budget_id: str | None
    tightest_period: str | None
    tightest_available: int | None

    @classmethod
    def of(cls, row: Any) -> "ReserveOutcome":
        """The one row of a `reserve_statement`."""
        return cls(
            complete=row.complete,
            fits=row.fits,
            is_cached=row.is_cached,
            tightest_budget_id=row.budget_id,
            tightest_period=row.period,
            tightest_available=row.available,
        )


def reserve_statement(request: ReservationRequest, *, now: datetime, unless_cached: Sequence[str] = ()) -> Statement:
    """Sets money aside in every budget or in none; `ReserveOutcome.of` reads the answer.

    Nothing is set aside when the cache has an answer under one of `unless_cached`.
    """
    parameters = {
        **_scope(request.org_id, request.run_id, now),
        "reservation_id": request.reservation_id,
        "provider": request.provider,
        "model": request.model,
        "ceiling": request.ceiling_micro_usd,
        "lease_seconds": request.lease_seconds,
        "unless_cached": list(unless_cached),
    }
    return Statement(_RESERVE, parameters)


def end_statement(
    *,
    org_id: str,
    reservation_id: str,
    state: ReservationState,
    actual: MicroUsd,
    reason: str,
    details: Mapping[str, Json],
) -> Statement:
    """Ends a reservation once; gives no row when it has ended before."""
    parameters = {
        "org_id": org_id,
        "reservation_id": reservation_id,
        "state": state.value,
        "actual": actual,
        "reason": reason,
        "details": json.dumps(details),
    }
    return Statement(_END, parameters)


def uncertain_statement(*, org_id: str, reservation_id: str) -> Statement:
    """Keeps a hold whose call may have been billed."""
    return Statement(_MARK_UNCERTAIN, {"org_id": org_id, "reservation_id": reservation_id})


class BudgetRepository:
    """Budgets, reservations and the ledger; commits nothing."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_budget(self, budget: Budget) -> None:
        """Stores a budget; a second one for the same run changes nothing."""
        parameters = {
            "budget_id": budget.budget_id,
            "org_id": budget.org_id,
            "period": budget.period.value,
            "limit_micro_usd": budget.limit_micro_usd,
            "run_id": budget.run_id,
            "created_at": budget.created_at,
        }
        await self._session.execute(_ADD_BUDGET, parameters)

    async def statuses(
        self, *, org_id: str, run_id: str | None, now: datetime, after: str, limit: int
    ) -> list[BudgetStatus]:
        """The organisation's budgets, and the run's when one is named, each with its present window."""
        parameters = {**_scope(org_id, run_id, now), "after": after, "limit": limit}
        rows = await self._session.execute(_STATUS, parameters)
        return [_status(row) for row in rows.mappings()]

    async def ensure_windows(self, *, org_id: str, run_id: str, now: datetime) -> None:
        """Makes the rows that reserving will lock."""
        await self._session.execute(_ENSURE_WINDOWS, _scope(org_id, run_id, now))

    async def reserve(self, request: ReservationRequest, *, now: datetime) -> ReserveOutcome:
        """Sets money aside in every budget or in none."""
        statement = reserve_statement(request, now=now)
        return ReserveOutcome.of((await self._session.execute(statement.clause, statement.parameters)).one())

    async def fits_without_holds(self, request: ReservationRequest, *, now: datetime) -> bool:
        """Whether every budget had room if no other call held any; calls that may have been billed count as spent."""
        parameters = {**_scope(request.org_id, request.run_id, now), "ceiling": request.ceiling_micro_usd}
        return bool((await self._session.execute(_FITS_WITHOUT_HOLDS, parameters)).scalar_one())

    async def execute(self, statement: Statement) -> bool:
        """Whether a statement of this module had an effect."""
        return (await self._session.execute(statement.clause, statement.parameters)).first() is not None

    async def unsettled_of_run(self, *, org_id: str, run_id: str) -> UnsettledMoney:
        """The money of a run's calls, those of the runs below it included, that is neither settled nor released."""
        row = (await self._session.execute(_UNSETTLED_OF_RUN, {"org_id": org_id, "run_id": run_id})).one()
        return UnsettledMoney(held_micro_usd=MicroUsd(row.held), uncertain_micro_usd=MicroUsd(row.uncertain))

    async def is_open(self, *, org_id: str, reservation_id: str) -> bool:
        """Whether the reservation holds money."""
        parameters = {"org_id": org_id, "reservation_id": reservation_id}
        return bool((await self._session.execute(_IS_OPEN, parameters)).scalar_one())

    async def expire_holds(self) -> int:
        """Marks holds whose holder has been silent past the lease, of all organisations; returns how many."""
        return len((await self._session.execute(_EXPIRE_HOLDS)).all())

    async def write_off(
        self, *, older_than_seconds: float, limit: int, reason: str, details: Mapping[str, Json]
    ) -> int:
        """Takes uncertain holds that nobody reconciled for spent, of all organisations; returns how many."""
        parameters = {
            "state": ReservationState.WRITTEN_OFF.value,
            "seconds": older_than_seconds,
            "limit": limit,
            "reason": reason,
            "details": json.dumps(details),
        }
        return len((await self._session.execute(_WRITE_OFF, parameters)).all())


def _scope(org_id: str, run_id: str | None, now: datetime) -> dict[str, Any]:
    return {
        "org_id": org_id,
        "run_id": run_id,
        "daily": Period.DAILY.window_start(now),
        "weekly": Period.WEEKLY.window_start(now),
        "monthly": Period.MONTHLY.window_start(now),
    }


def _status(row: RowMapping) -> BudgetStatus:
    budget = Budget(
        budget_id=row["budget_id"],
        org_id=row["org_id"],
        period=Period(row["period"]),
        limit_micro_usd=MicroUsd(row["limit_micro_usd"]),
        run_id=row["run_id"],
        created_at=row["created_at"],
    )
    return BudgetStatus(
        budget=budget,
        window_start=row["window_start"],
        spent_micro_usd=MicroUsd(row["spent_micro_usd"]),
        held_micro_usd=MicroUsd(row["held_micro_usd"]),
    )
