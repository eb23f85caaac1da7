"""Recipes for golden histories of runs that wait between the steps of a loop, or for what has come already."""

from collections.abc import Awaitable, Callable, Mapping

from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform
from workflows.gate_service import GateService

ORG_ID = "org_golden"


async def early_event(platform: Platform) -> str:
    """A wait whose event was there before it."""
    document = dag(
        "early_event",
        {"id": "pause", "type": "wait", "config": {"for": "1s"}},
        {"id": "event", "type": "wait", "config": {"event": "go"}, "depends": ["pause"]},
        outputs={"n": "event.output.n"},
    )
    await platform.register(ORG_ID, document)
    run_id = await platform.submit(ORG_ID, "early_event")
    resources = platform.resources
    service = GateService(resources.database, resources.blobs, platform.temporal, resources.clock)
    fate = await service.deliver(org_id=ORG_ID, run_id=run_id, event_key="go", payload={"n": 1}, delivered_by="shop")
    if fate.kept_until is None:
        raise RuntimeError("the event was not early")
    await platform.ended(ORG_ID, run_id)
    return run_id


async def loop_delay(platform: Platform) -> str:
    """A loop that waits between two times round while other nodes go on; its run is found by its attributes."""
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}}}
    names = ["start", *(f"node_{at}" for at in range(6))]
    document = dag(
        "loop_delay",
        {"id": "poll", "type": "loop", "config": {"body": body, "max_iterations": 3, "delay": "1s"}},
        *(projection(name, {}, depends=names[at - 1 : at] if at else []) for at, name in enumerate(names)),
    )
    return (await platform.run(ORG_ID, document)).run.run_id


PAUSE_RECIPES: Mapping[str, Callable[[Platform], Awaitable[str]]] = {
    "loop_delay": loop_delay,
    "early_event": early_event,
}
