"""Removes at intervals what nobody needs; every worker asks, and of all of them one does each kind of work."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from activities.resources import Resources
from agentflow.blob_objects import open_blob_objects
from agentflow.errors import BlobStoreUnavailable
from observability.telemetry.logging import get_logger
from runs.housekeeping import Housekeeping

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duty:
    name: str
    every_seconds: float
    perform: Callable[[], Awaitable[int]]


class Housekeeper:
    """Looks at intervals whether a duty is due."""

    def __init__(self, housekeeping: Housekeeping, *, interval_seconds: float = 60.0) -> None:
        self._housekeeping, self._interval_seconds = housekeeping, interval_seconds
        self._duties = (
            _Duty(name="runs", every_seconds=600, perform=housekeeping.remove_runs),
            _Duty(name="blobs", every_seconds=3_600, perform=housekeeping.collect_blobs),
            _Duty(name="objects", every_seconds=86_400, perform=housekeeping.remove_stray_objects),
        )

    async def run(self) -> None:
        """Keeps house until cancelled; what fails is tried again when it is due again."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.look()

    async def look(self) -> None:
        """Does what is due."""
        for duty in self._duties:
            try:
                if await self._housekeeping.take_turn(duty.name, every_seconds=duty.every_seconds):
                    await duty.perform()
            except (SQLAlchemyError, OSError, BlobStoreUnavailable) as error:
                _log.warning("housekeeping.failed", duty=duty.name, reason=type(error).__name__)


def open_housekeeper(resources: Resources) -> Housekeeper:
    """The housekeeper of a worker."""
    settings = resources.settings
    housekeeping = Housekeeping(
        resources.database,
        open_blob_objects(settings),
        resources.clock,
        grace_hours=settings.blob_grace_hours,
        retention_days=settings.run_retention_days,
    )
    return Housekeeper(housekeeping)
