"""Nothing large enters a history, and with keys nothing that can be read: every payload of every event is looked at."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentflow.ids import new_id
from cli.embedded.temporal_server import TemporalDevServer
from runs.models import RunState
from runs.run_view import RunView
from tests.deadline import deadline
from tests.scripted_provider import Answer, Fail, ScriptedProvider
from tests.workflows.documents import QUICK_RETRY, dag, function_map, llm, projection
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded
from tests.workflows.test_gates import approval, decide, gates, opened, started
from workflows.history_limits import MAX_PAYLOAD_BYTES, PAYLOAD_TOO_LARGE
from workflows.temporal_connection import connect_temporal

#: Stands in everything that the runs below work on.
MARK = "Rumpelstilzchen"
KEYS = {"old": "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=", "new": "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU="}
LARGE = f"{MARK} " * 12_000


@pytest.fixture(scope="module", params=["plain", "sealed"])
async def own_platform(
    request: pytest.FixtureRequest,
    own_server: TemporalDevServer,
    database_url: str,
    provider: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "letter.txt").write_text(LARGE)
    settings = platform_settings(
        database_url,
        provider,
        buckets={"documents": folder.as_uri()},
        blob_store_url=(folder / "blobs").as_uri(),
        blob_inline_bytes=50_000,
        temporal_address=own_server.address,
        **({"payload_keys": KEYS, "payload_key_id": "new"} if request.param == "sealed" else {}),
    )
    async with running_platform(settings, await connect_temporal(settings), provider) as platform:
        yield platform


def is_sealed(platform: Platform) -> bool:
    return bool(platform.resources.settings.payload_keys)


def payloads_in(message: Message) -> Iterator[Payload]:
    """All payloads below a message, wherever they stand."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        # The server's index reads search attributes, so that they cannot be sealed.
        if field.message_type is None or field.name == "search_attributes":
            continue
        if field.message_type.GetOptions().map_entry:
            parts: Any = [part for part in value.values() if isinstance(part, Message)]
        else:
            parts = [value] if isinstance(value, Message) else value
        for part in parts:
            yield from payloads_in(part)


async def scan(platform: Platform, run_id: str, *, at_least: int = 6) -> None:
    """Holds each event of a run's history against what this module says."""
    history = await platform.temporal.get_workflow_handle(run_id).fetch_history()
    payloads = [payload for event in history.events for payload in payloads_in(event)]
    assert len(payloads) >= at_least
    assert max(payload.ByteSize() for payload in payloads) <= MAX_PAYLOAD_BYTES
    assert max(event.ByteSize() for event in history.events) <= MAX_PAYLOAD_BYTES
    if is_sealed(platform):
        assert {b"binary/encrypted"} == {payload.metadata["encoding"] for payload in payloads}
        assert {b"new"} == {payload.metadata["encryption-key-id"] for payload in payloads}
        readable = b"".join(event.SerializeToString() for event in history.events)
        assert MARK.encode() not in readable
        assert b"digest" not in readable


async def run(platform: Platform, document: dict[str, Any], inputs: dict[str, Any]) -> RunView:
    org_id = new_id("org")
    await platform.prompt(org_id, "ask", "Say {{ content }}")
    return await platform.run(org_id, document, inputs)


async def test_a_run_of_large_documents_has_a_history_of_references(own_platform: Platform) -> None:
    own_platform.provider.script(Answer(text=LARGE))
    fetch = {"tool_name": "s3.fetch", "tool_args": {"bucket": "documents", "key": "{{key}}"}}
    document = dag(
        "large",
        {"id": "ingest", "type": "tool", "config": fetch},
        llm("ask", "ingest.output", depends=["ingest"], when=f"inputs.who == '{MARK}'"),
        function_map("each", "inputs.items", {"value": "item", "text": "inputs.text"}),
        projection("all", {"said": "ask.output", "each": "each.output"}, depends=["ask", "each"]),
        outputs={"all": "all.output"},
    )
    inputs = {"key": "letter.txt", "who": MARK, "text": LARGE, "items": [f"{MARK} {number}" for number in range(40)]}

    view = succeeded(await run(own_platform, document, inputs))

    assert view.outputs is not None
    assert (LARGE.strip(), 40) == (str(view.outputs["all"]["said"]).strip(), len(view.outputs["all"]["each"]))
    await scan(own_platform, view.run.run_id)


async def test_a_run_that_fails_says_why_to_its_owner_and_not_to_its_history(own_platform: Platform) -> None:
    own_platform.provider.script(Fail(status=400, message=LARGE))
    document = dag("failing", llm("ask", "inputs.text", retry=QUICK_RETRY))

    view = await run(own_platform, document, {"text": f"{MARK}!"})

    assert (RunState.FAILED, "provider.rejected") == (view.run.state, view.run.error_code)
    await scan(own_platform, view.run.run_id)


async def test_a_fact_as_large_as_facts_may_be_fits(own_platform: Platform) -> None:
    fact = f"{MARK}{'x' * 3_900}"
    nodes = [projection(f"n{number}", {"v": "inputs.fact"}, when=f"inputs.fact == '{fact}'") for number in range(12)]

    view = succeeded(await run(own_platform, dag("facts", *nodes), {"fact": fact}))

    await scan(own_platform, view.run.run_id)


def say(what: str) -> str:
    return f"{MARK} {what}"


async def test_nothing_that_people_tools_or_models_say_is_readable_in_a_history(own_platform: Platform) -> None:
    org_id = new_id("org")
    own_platform.provider.script(Answer(text=say("answers")))
    await own_platform.prompt(org_id, "ask", "Say {{ content }}")
    fetch = {"tool_name": "s3.fetch", "tool_args": {"bucket": "documents", "key": "{{inputs.key}}"}}
    document = dag(
        "canaries",
        {"id": "missing", "type": "tool", "on_error": "continue", "config": fetch},
        llm("ask", "inputs.text"),
        function_map("each", "inputs.items", {"value": "item"}),
        {"id": "paid", "type": "wait", "config": {"event": "paid {{ inputs.key }}"}},
        approval("sent", message="Send {{ inputs.text }}?", show={"text": "inputs.text"}),
        projection("all", {"said": "ask.output"}, depends=["missing", "ask", "each", "paid", "sent"]),
    )
    inputs = {"key": say("key"), "text": say("text"), "items": [say("item")]}

    run_id = await started(own_platform, org_id, document, **inputs)
    gate = await opened(own_platform, org_id, run_id)
    await gates(own_platform).deliver(
        org_id=org_id, run_id=run_id, event_key=f"paid {say('key')}", payload=say("payload"), delivered_by=say("shop")
    )
    await decide(own_platform, gate, comment=say("comment"), decision_id=say("decision"), decided_by=say("ada"))
    view = succeeded(await own_platform.ended(org_id, run_id))

    [missing] = [node for node in view.nodes if node.node_id == "missing"]
    assert MARK in str(missing.error_message)
    await scan(own_platform, run_id)
    if is_sealed(own_platform):
        description = await own_platform.temporal.get_workflow_handle(run_id).describe()
        assert MARK.encode() not in description.raw_description.SerializeToString()


@activity.defn(name="give_too_much")
async def give_too_much() -> str:
    return "x" * MAX_PAYLOAD_BYTES


@activity.defn(name="take_anything")
async def take_anything(value: str) -> int:
    return len(value)


@workflow.defn(name="TooMuch")
class TooMuch:
    """Passes too much in one direction or the other."""

    @workflow.run
    async def run(self, name: str) -> str:
        arguments = ["x" * MAX_PAYLOAD_BYTES] if name == "take_anything" else []
        try:
            await workflow.execute_activity(name, args=arguments, start_to_close_timeout=timedelta(seconds=10))
        except ActivityError as error:
            return f"{type(error.cause).__name__} {getattr(error.cause, 'type', None)}"
        return "it passed"


async def test_an_activity_that_gives_too_much_has_failed_for_good(own_platform: Platform) -> None:
    async with too_much_worker(own_platform):
        handle = await start_too_much(own_platform, "give_too_much")
        async with deadline("the workflow to end"):
            assert f"ApplicationError {PAYLOAD_TOO_LARGE}" == await handle.result()

    await scan(own_platform, handle.id, at_least=2)


async def test_a_workflow_that_passes_too_much_fails_and_names_the_activity(own_platform: Platform) -> None:
    async with too_much_worker(own_platform):
        handle = await start_too_much(own_platform, "take_anything")
        async with deadline("the workflow to fail"):
            with pytest.raises(WorkflowFailureError) as failure:
                await handle.result()

    assert "activity 'take_anything' of workflow" in str(failure.value.cause)
    await scan(own_platform, handle.id, at_least=1)


def too_much_worker(platform: Platform) -> Worker:
    return Worker(
        platform.temporal,
        task_queue="too-much",
        workflows=[TooMuch],
        activities=[give_too_much, take_anything],
        workflow_runner=UnsandboxedWorkflowRunner(),
        build_id="test",
    )


async def start_too_much(platform: Platform, activity_name: str) -> WorkflowHandle[Any, str]:
    return await platform.temporal.start_workflow(TooMuch.run, activity_name, id=new_id("run"), task_queue="too-much")
