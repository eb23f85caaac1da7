"""What a test leaves going on in the session's platform ends before the next test begins."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from tests.deadline import deadline
from tests.workflows.platform import Platform
from tests.workflows.world import World


@pytest.fixture
def shared_platform(request: pytest.FixtureRequest) -> tuple[Platform, World] | None:
    """The session's platform and world, for tests that use them."""
    if "platform" not in request.fixturenames:
        return None
    return request.getfixturevalue("platform"), request.getfixturevalue("world")


@pytest.fixture(autouse=True)
async def nothing_left(shared_platform: tuple[Platform, World] | None) -> AsyncIterator[None]:
    """Lets no test meet what another one has left in the platform."""
    yield
    if shared_platform is not None:
        await end_leftovers(*shared_platform)


async def end_leftovers(platform: Platform, world: World) -> None:
    """Ends the open runs, lets go what hangs in tools and model calls, and makes the scripted provider as new."""
    async with deadline("what a test has left going on to end"):
        # First: a run that is let go, and goes on, would ask for what the next test has scripted.
        await _terminate_open_workflows(platform.temporal)
        # Else the next sweep starts all of them at once.
        await platform.rows(
            "UPDATE runs SET state = 'cancelled', finished_at = now() WHERE state = 'submitted' RETURNING run_id"
        )
        world.release_all()
        await platform.provider.reset()


async def _terminate_open_workflows(temporal: Client) -> None:
    async for execution in temporal.list_workflows("ExecutionStatus = 'Running'"):
        # It may have ended by itself since.
        with suppress(RPCError):
            await temporal.get_workflow_handle(execution.id).terminate("its test is over")
