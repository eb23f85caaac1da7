"""What tests of flights share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentflow.database import Database
from tests.deadline import deadline
from tests.integration.agentflow.barrier import Barrier


@pytest.fixture
async def barrier(database_url: str) -> AsyncIterator[Barrier]:
    """Stands when the test begins."""
    database = Database(database_url)
    barrier, is_up = Barrier(database), asyncio.Event()
    standing = asyncio.create_task(barrier.stand(is_up))
    async with deadline("the barrier to stand"):
        await is_up.wait()
    yield barrier
    barrier.lift()
    await standing
    await database.close()
