"""SQL of rate limits, by the generic cell rate algorithm (ITU-T I.371): a bucket is the instant its debt is paid at.

A bucket holds a minute's worth, and refills by the database's clock, which all workers share. All buckets of a call
are locked in the order of their names, looked at, and taken from together or not at all. Buckets that everyone shares
have an empty organisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.statements import Statement
from cas.rate_limits import BucketTake

_WANTED = """
    SELECT * FROM unnest(cast(:owners AS varchar[]), cast(:names AS varchar[]), cast(:seconds AS double precision[]))
        AS wanted (org_id, name, seconds)
"""
_ENSURE = text(f"""
    WITH wanted AS ({_WANTED})
    INSERT INTO rate_buckets (org_id, name, owed_until) SELECT org_id, name, clock_timestamp() FROM wanted
    ON CONFLICT (org_id, name) DO NOTHING
""")
#: A call that takes more than a full bucket holds waits for a full one, and leaves it in debt.
_TAKE = text(f"""
    WITH wanted AS ({_WANTED}),
    locked AS (
        SELECT buckets.org_id, buckets.name, wanted.seconds,
               greatest(buckets.owed_until, clock_timestamp()) AS since
        FROM rate_buckets AS buckets JOIN wanted USING (org_id, name)
        ORDER BY buckets.org_id, buckets.name FOR UPDATE OF buckets
    ),
    verdict AS (
        SELECT count(*) = cardinality(cast(:names AS varchar[])) AS complete, greatest(coalesce(max(
            extract(epoch FROM since - clock_timestamp()) + least(seconds, 60) - 60), 0), 0)::double precision AS wait
        FROM locked
    ),
    taken AS (
        UPDATE rate_buckets AS buckets SET owed_until = locked.since + make_interval(secs => locked.seconds)
        FROM locked, verdict
        WHERE buckets.org_id = locked.org_id AND buckets.name = locked.name
          AND verdict.complete AND verdict.wait <= :patience
        RETURNING buckets.name
    )
    SELECT complete, wait FROM verdict
""")
_FIND_BOOKING = text("""
    SELECT greatest(extract(epoch FROM ready_at - clock_timestamp()), 0)::double precision AS wait
    FROM rate_bookings WHERE org_id = :org_id AND booking_id = :booking_id
""")
_BOOK = text("""
    INSERT INTO rate_bookings (org_id, booking_id, ready_at)
    VALUES (:org_id, :booking_id, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (org_id, booking_id) DO NOTHING
""")
_TAKE_BOOKING = text("DELETE FROM rate_bookings WHERE org_id = :org_id AND booking_id = :booking_id")
_ADJUST = text(f"""
    WITH wanted AS ({_WANTED})
    UPDATE rate_buckets AS buckets SET owed_until = buckets.owed_until + make_interval(secs => wanted.seconds)
    FROM wanted WHERE buckets.org_id = wanted.org_id AND buckets.name = wanted.name
""")
_EMPTY = text(f"""
    WITH wanted AS ({_WANTED})
    UPDATE rate_buckets AS buckets SET owed_until = greatest(
        buckets.owed_until, clock_timestamp() + make_interval(secs => 60 + wanted.seconds))
    FROM wanted WHERE buckets.org_id = wanted.org_id AND buckets.name = wanted.name
""")
_SWEEP = text("DELETE FROM rate_bookings WHERE ready_at < clock_timestamp() - interval '1 day'")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOutcome:
    """What came of an attempt to take."""

    #: False when a bucket does not exist yet; then nothing was taken.
    complete: bool
    #: Seconds until there is room; nothing was taken when that is more than the patience.
    wait_seconds: float


class RateLimitRepository:
    """Buckets and bookings, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ensure(self, takes: Sequence[BucketTake]) -> None:
        """Makes the buckets that are not there, full."""
        await self._session.execute(_ENSURE, _parameters(takes))

    async def take(self, takes: Sequence[BucketTake], *, patience_seconds: float) -> TakeOutcome:
        """Takes from all buckets when there will be room in all of them within `patience_seconds`."""
        parameters = {**_parameters(takes), "patience": patience_seconds}
        row = (await self._session.execute(_TAKE, parameters)).one()
        return TakeOutcome(complete=row.complete, wait_seconds=row.wait)

    async def find_booking(self, *, org_id: str, booking_id: str) -> float | None:
        """Seconds until a booked turn; None when nothing is booked."""
        parameters = {"org_id": org_id, "booking_id": booking_id}
        wait: float | None = (await self._session.execute(_FIND_BOOKING, parameters)).scalar_one_or_none()
        return wait

    async def book(self, *, org_id: str, booking_id: str, seconds: float) -> None:
        """Keeps a turn that was taken, `seconds` from now."""
        parameters = {"org_id": org_id, "booking_id": booking_id, "seconds": seconds}
        await self._session.execute(_BOOK, parameters)

    async def take_booking(self, *, org_id: str, booking_id: str) -> None:
        """Uses a booked turn up."""
        await self._session.execute(_TAKE_BOOKING, {"org_id": org_id, "booking_id": booking_id})

    async def sweep(self) -> None:
        """Forgets the turns of steps that never came back for them."""
        await self._session.execute(_SWEEP)


def adjust_statement(takes: Sequence[BucketTake]) -> Statement:
    """Takes further amounts, whatever room there is; negative ones are given back."""
    return Statement(_ADJUST, _parameters(takes))


def empty_statement(takes: Sequence[BucketTake], *, seconds: float) -> Statement:
    """Lets nothing out of the buckets for so many seconds."""
    parameters = _parameters(takes)
    return Statement(_EMPTY, {**parameters, "seconds": [seconds for _ in takes]})


def _parameters(takes: Sequence[BucketTake]) -> dict[str, list[str] | list[float]]:
    return {
        "owners": [take.org_id for take in takes],
        "names": [take.name for take in takes],
        "seconds": [take.seconds for take in takes],
    }
