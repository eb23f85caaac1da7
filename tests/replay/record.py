"""Records golden histories: `python -m tests.replay.record`, from a checkout of the code that is in production.

A history that is here stays here: it is a promise that runs begun under the code of its time can be finished by the
code of today. A new shape of run gets a new file; no file is ever recorded again.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError

from activities.catalog import TOOLS
from activities.map_payloads import OpenedMap, ShardStart
from activities.payloads import (
    RUNS_QUEUE,
    RunRef,
    RunStart,
    SkeletonNode,
)
from agentflow.process_exit import exit_process
from agentflow.schema_migration import upgrade_schema
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.temporal_server import TemporalDevServer
from runs.gate_models import DoubtResolution, Gate, GateState
from runs.models import Run
from tests.replay.examples import BUCKETS, EXAMPLE_RECIPES
from tests.replay.pauses import PAUSE_RECIPES
from tests.scripted_provider import Answer, Fail, Hold, ScriptedProvider, ScriptedToolCall
from tests.workflows.documents import (
    QUICK_RETRY,
    agent,
    dag,
    function,
    function_map,
    large_map,
    llm,
    llm_map,
    projection,
)
from tests.workflows.platform import Platform, platform_settings, running_platform, until
from tests.workflows.world import ACT, World, world_tools
from workflows.dag_run import AgentDag
from workflows.gate_service import GateService
from workflows.map_shard import MapShard
from workflows.rerun_service import RerunRequest, RerunService
from workflows.service import RunRequest

HISTORIES = Path(__file__).parent / "histories"
_ORG = "org_golden"

Recipe = Callable[[Platform], Awaitable[str]]


async def _chain(platform: Platform) -> str:
    document = dag("chain", projection("one", {"v": "1"}), projection("two", {"v": "one.output.v"}, depends=["one"]))
    return (await platform.run(_ORG, document)).run.run_id


async def _arms(platform: Platform) -> str:
    document = dag(
        "arms",
        projection("kind", {"value": "inputs.kind"}),
        projection("left", {}, depends=["kind"], when="kind.output.value == 'left'"),
        projection("right", {}, depends=["kind"], when="kind.output.value == 'right'"),
        projection("meet", {"left": "left.status"}, depends=["left", "right"]),
    )
    return (await platform.run(_ORG, document, {"kind": "right"})).run.run_id


async def _map_reduce(platform: Platform) -> str:
    document = dag(
        "map_reduce",
        function("split", "text_splitter", {"text": "inputs.text", "max_characters": 50}),
        llm_map("each", "split.output.chunks", window=2, depends=["split"], retry=QUICK_RETRY),
        {
            "id": "all",
            "type": "reduce",
            "depends": ["each"],
            "config": {
                "over": "each.output",
                "body": {
                    "type": "function",
                    "config": {"function_name": "result_merger", "inputs": {"results": "items"}},
                },
            },
        },
        outputs={"merged": "all.output.merged"},
    )
    platform.provider.script(Fail(status=429, retry_after="0.1"))
    return (await platform.run(_ORG, document, {"text": "word " * 60})).run.run_id


async def _failure(platform: Platform) -> str:
    document = dag(
        "failure",
        function_map("each", "inputs.numbers", {"v": "1 / item"}, retry={"attempts": 1}),
        projection("never", {}, depends=["each"]),
    )
    return (await platform.run(_ORG, document, {"numbers": [1, 0, 2]})).run.run_id


async def _cancelled(platform: Platform) -> str:
    await platform.register(_ORG, dag("cancelled", projection("done", {}), llm("slow", "'x'", depends=["done"])))
    before = len(platform.provider.requests)
    platform.provider.script(Hold())
    run_id = await platform.submit(_ORG, "cancelled")
    await platform.provider.received(before + 1)
    await platform.service.cancel(org_id=_ORG, run_id=run_id)
    await platform.ended(_ORG, run_id)
    return run_id


async def _continued(platform: Platform) -> str:
    nodes = [projection("n0", {"v": "0"})]
    nodes += [projection(f"n{n}", {"v": f"n{n - 1}.output.v + 1"}, depends=[f"n{n - 1}"]) for n in range(1, 8)]
    await platform.register(_ORG, dag("continued", *nodes))
    request = RunRequest(
        workflow_name="continued", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run: Run = await platform.service.record(org_id=_ORG, request=request)
    reference = RunRef(
        org_id=run.org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest
    )
    start = RunStart(run=reference, history_limit_events=20)
    await platform.temporal.execute_workflow(AgentDag.run, start, id=run.run_id, task_queue=RUNS_QUEUE)
    return run.run_id


def _batched_document(name: str) -> dict[str, Any]:
    return dag(name, large_map("each", "inputs.numbers", {"v": "item"}, batch=10), outputs={"all": "each.output"})


async def _batched_map(platform: Platform) -> str:
    return (await platform.run(_ORG, _batched_document("batched_map"), {"numbers": list(range(25))})).run.run_id


async def _sharded_map(platform: Platform) -> str:
    document = dag("sharded_map", large_map("each", "inputs.numbers", {"v": "item"}, batch=1, window=50))
    return (await platform.run(_ORG, document, {"numbers": list(range(210))})).run.run_id


async def _shard(platform: Platform) -> str:
    """A shard on its own, of so few steps that its history can be read."""
    view = await platform.run(_ORG, _batched_document("shard"), {"numbers": list(range(25))})
    run = view.run
    [row] = await platform.rows("SELECT map_id, pages_digest FROM maps WHERE run_id = :run_id", run_id=run.run_id)
    node = SkeletonNode(
        node_id="each",
        type="map",
        kind="function",
        upstream=[],
        reads=[],
        attempts=4,
        initial_seconds=1,
        factor=2,
        max_seconds=60,
        run_seconds=60,
        idle_seconds=10,
        batch=10,
    )
    start = ShardStart(
        run=RunRef(org_id=run.org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest),
        node=node,
        outputs={},
        opened=OpenedMap(map_id=row["map_id"], item_count=25, pages=row["pages_digest"]),
        first_step=0,
        step_count=3,
        window=2,
        allowed_failures=0,
    )
    workflow_id = f"{run.run_id}/each.0/0-2"
    await platform.temporal.execute_workflow(MapShard.run, start, id=workflow_id, task_queue=RUNS_QUEUE)
    return workflow_id


async def _approval(platform: Platform) -> str:
    ask = {
        "id": "ask",
        "type": "approval",
        "config": {"message": "Go on?", "escalate": [{"after": "100ms", "approvers": ["bob"]}], "timeout": "1h"},
    }
    await platform.register(_ORG, dag("approval", ask, projection("after", {"by": "ask.output.by"}, depends=["ask"])))
    run_id = await platform.submit(_ORG, "approval")
    resources = platform.resources
    service = GateService(resources.database, resources.blobs, platform.temporal, resources.clock)

    async def escalated() -> list[Gate]:
        found = await service.list_approvals(org_id=_ORG, is_open=True, run_id=run_id, after="", limit=1)
        return [gate for gate in found if gate.approvers]

    [gate] = await until(escalated)
    await service.decide(
        org_id=_ORG,
        gate_id=gate.gate_id,
        approved=True,
        subject_digest=str(gate.subject_digest),
        decision_id="decision_1",
        decided_by="bob",
        comment="yes",
    )
    await platform.ended(_ORG, run_id)
    return run_id


async def _in_doubt(platform: Platform) -> str:
    """A step that is in doubt, is said not to have been performed, is so again, and is said to have been."""
    config = {"tool_name": ACT, "tool_args": {"who": "golden", "class": "at_most_once"}}
    document = dag(
        "in_doubt",
        {"id": "act", "type": "tool", "config": config, "retry": QUICK_RETRY},
        projection("after", {"deeds": "act.output.deeds"}, depends=["act"]),
    )
    await platform.register(_ORG, document)
    run_id = await platform.submit(_ORG, "in_doubt")
    resources = platform.resources
    service = GateService(resources.database, resources.blobs, platform.temporal, resources.clock, platform.signatures)
    for resolution in (DoubtResolution.NOT_PERFORMED, DoubtResolution.PERFORMED):

        async def asked() -> list[Gate]:
            return await service.list_approvals(org_id=_ORG, is_open=True, run_id=run_id, after="", limit=1)

        [gate] = await until(asked)
        await service.resolve(
            org_id=_ORG,
            gate_id=gate.gate_id,
            resolution=resolution,
            output={"deeds": 2} if resolution is DoubtResolution.PERFORMED else None,
            subject_digest=str(gate.subject_digest),
            decision_id="decision_1",
            decided_by="ada",
            comment=None,
        )
        await until(partial(_is_closed, service, gate.gate_id))
    await platform.ended(_ORG, run_id)
    return run_id


async def _is_closed(service: GateService, gate_id: str) -> bool:
    return (await service.get_approval(org_id=_ORG, gate_id=gate_id)).gate.state is not GateState.OPEN


async def _waits(platform: Platform) -> str:
    document = dag(
        "waits",
        {"id": "pause", "type": "wait", "config": {"for": "100ms"}},
        {"id": "never", "type": "wait", "config": {"event": "x", "timeout": "200ms", "on_timeout": "continue"}},
        projection("after", {"paused": "pause.status"}, depends=["pause", "never"]),
    )
    return (await platform.run(_ORG, document)).run.run_id


async def _code(platform: Platform) -> str:
    config = {"language": "javascript", "source": "let main = input => input.n + 1", "inputs": {"n": "inputs.n"}}
    document = dag("code", {"id": "add", "type": "code", "config": config}, outputs={"n": "add.output"})
    return (await platform.run(_ORG, document, {"n": 1})).run.run_id


async def _rerun(platform: Platform) -> str:
    document = dag("rerun", projection("one", {"v": "1"}), projection("two", {"v": "one.output.v"}, depends=["one"]))
    first = (await platform.run(_ORG, document)).run.run_id
    resources = platform.resources
    service = RerunService(resources.database, resources.blobs, platform.temporal, resources.clock)
    wish = RerunRequest(run_id=first, from_nodes=("two",), changes={})
    run = (await service.rerun(org_id=_ORG, request=wish)).run
    await platform.ended(_ORG, run.run_id)
    return run.run_id


async def _agent(platform: Platform) -> str:
    calls = tuple(
        ScriptedToolCall(name="s3_fetch", arguments=f'{{"bucket": "none", "key": "{key}"}}', call_id=key)
        for key in ("a", "b")
    )
    platform.provider.script(
        Answer(tool_calls=calls, stop_reason="tool_calls"),
        Answer(tool_calls=(ScriptedToolCall(name="nobody", arguments="{}"),), stop_reason="tool_calls"),
        Answer(text="There are no letters."),
    )
    document = dag("agent", agent("ask", "'letters'", "s3.fetch"), outputs={"answer": "ask.output"})
    return (await platform.run(_ORG, document)).run.run_id


async def _paused(platform: Platform) -> str:
    document = dag(
        "paused",
        {"id": "event", "type": "wait", "config": {"for": "1s"}},
        projection("after", {"v": "1"}, depends=["event"]),
    )
    await platform.register(_ORG, document)
    run_id = await platform.submit(_ORG, "paused")
    await platform.service.pause(org_id=_ORG, run_id=run_id)
    await platform.service.resume(org_id=_ORG, run_id=run_id)
    return run_id


async def _told(platform: Platform) -> str:
    """How nodes ended is read, a condition is asked where its long text is, and `/` divides exactly."""
    platform.provider.script(
        Answer(text="no", stop_reason="content_filter"), Answer(text="word " * 2_000, stop_reason="length")
    )
    document = dag(
        "told",
        llm("bad", "'a'", on_error="continue"),
        llm("cut", "'b'", config={"accept": ["cut"]}, depends=["bad"]),
        projection("after", {"v": "inputs.n / 2"}, when="cut.output.contains('word') && cut.finish_reason == 'length'"),
        projection("half", {"v": "1"}, when="inputs.n / 2 == 3.5 && bad.error.code == 'answer.refused'"),
        outputs={"after": "after.output.v", "half": "half.status"},
    )
    return (await platform.run(_ORG, document, {"n": 7})).run.run_id


RECIPES: dict[str, Recipe] = {
    "chain": _chain,
    "arms": _arms,
    "map_reduce": _map_reduce,
    "failure": _failure,
    "cancelled": _cancelled,
    "continued": _continued,
    "batched_map": _batched_map,
    "sharded_map": _sharded_map,
    "shard": _shard,
    "approval": _approval,
    "waits": _waits,
    "in_doubt": _in_doubt,
    "code": _code,
    "rerun": _rerun,
    "paused": _paused,
    "agent": _agent,
    "told": _told,
    **PAUSE_RECIPES,
    **EXAMPLE_RECIPES,
}


async def _record(platform: Platform, name: str, recipe: Recipe) -> None:
    run_id = await recipe(platform)
    handle = platform.temporal.get_workflow_handle(run_id)
    with suppress(WorkflowFailureError):
        await handle.result()
    history: dict[str, Any] = (await handle.fetch_history()).to_json_dict()
    path = HISTORIES / f"{name}.json"
    document = {"workflow_id": run_id, "history": _without_stack_traces(history)}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"recorded {path.name}: {len(history['events'])} events")


def _without_stack_traces(value: Any) -> Any:
    """`value` without what names the folders of the machine that recorded it; no replay reads that."""
    if isinstance(value, dict):
        return {name: _without_stack_traces(part) for name, part in value.items() if name != "stackTrace"}
    return [_without_stack_traces(part) for part in value] if isinstance(value, list) else value


async def _record_missing(database_url: str, temporal_address: str) -> None:
    async with ScriptedProvider() as provider:
        # The identity of a client stands in histories; the default one names the machine.
        temporal = await Client.connect(temporal_address, identity="recorder")
        settings = platform_settings(database_url, provider, buckets=BUCKETS)
        world = World()
        world.script["golden"] = ["uncertain", "uncertain"]
        tools = {**TOOLS, **world_tools(world)}
        async with running_platform(settings, temporal, provider, tools=tools) as platform:
            await platform.prompt(_ORG, "ask", "Golden {{ content }}")
            for name, recipe in RECIPES.items():
                if not (HISTORIES / f"{name}.json").exists():
                    await _record(platform, name, recipe)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agentflow-golden-", ignore_cleanup_errors=True) as folder:
        postgres, temporal = EmbeddedPostgres(Path(folder) / "postgres"), TemporalDevServer(None)
        database_url = postgres.start()
        temporal.start()
        try:
            upgrade_schema(database_url)
            asyncio.run(_record_missing(database_url, temporal.address))
        finally:
            temporal.stop()
            postgres.stop()
    exit_process(0)


if __name__ == "__main__":
    main()
