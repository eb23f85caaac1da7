"""What a test leaves going on in the session's platform ends before the next test begins."""

from contextlib import suppress

from temporalio.client import Client
from temporalio.service import RPCError

from tests.deadline import deadline
from tests.workflows.platform import Platform
from tests.workflows.world import World


async def end_leftovers(platform: Platform, world: World) -> None:
    """Ends the open runs, lets go what hangs in tools and model calls, and makes the scripted provider as new."""
    async with deadline("what a test has left going on to end"):
        # First: a run that is let go, and goes on, would ask for what the next test has scripted.
        await _terminate_open_workflows(platform.temporal)
        world.release_all()
        await platform.provider.reset()


async def _terminate_open_workflows(temporal: Client) -> None:
    async for execution in temporal.list_workflows("ExecutionStatus = 'Running'"):
        # It may have ended by itself since.
        with suppress(RPCError):
            await temporal.get_workflow_handle(execution.id).terminate("its test is over")
