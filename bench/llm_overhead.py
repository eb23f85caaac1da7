"""What an llm step costs beyond its vendor's time: journal, policy, prompt, cache, budget, ledger, spans.

The vendor is a scripted server in a process of its own, on loopback, and answers at once. `llm_overhead_*` is the time
of the whole step in the worker less the time of a bare call through the same SDK to the same server, in a loop of
nothing else. `llm_over_hand_written_*` is the same step less that bare call where others would make it: in an activity
of a hand-written workflow, which shares the machine's cores with Temporal's server and wakes up for each call, too.
`llm_alone_*` compares both in loops of nothing else: what the step's own code and its two commits take.
`llm_dispatch_*` is what Temporal adds around a step here: from scheduling the activity to its completion, less the time
in the worker.
"""

import asyncio
import contextlib
import json
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import openai
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
)

from activities.payloads import RunRef, StepCall
from activities.step_activities import StepActivities
from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer
from bench.bench_platform import ORG_ID, BenchPlatform, bench_platform, settings_of
from bench.hand_written import BARE_CALL, HandWrittenCalls
from promptops.service import PromptService
from workflows.service import RunRequest
from workflows.worker import step_interceptors

STEPS, ROUNDS = 150, 3
LATENCY_MS = 0
_MODEL = "scripted-1"
_HAND_WRITTEN_QUEUE = "hand-written"


class _StepTimer(Interceptor):
    """Times whole llm steps from outside of everything."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Timed(next, self.seconds)


class _Timed(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, seconds: list[float]) -> None:
        super().__init__(inner)
        self._seconds = seconds

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        began = time.perf_counter()
        result = await self.next.execute_activity(input)
        if input.args and isinstance(input.args[0], StepCall) and input.args[0].item_index is not None:
            self._seconds.append(time.perf_counter() - began)
        return result


async def llm_overheads(environment: dict[str, str]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    timer = _StepTimer()
    async with _scripted_vendor() as base_url:
        offer = ModelOffer(
            provider="openai",
            model=_MODEL,
            input_micro_usd_per_million_tokens=1_000_000,
            output_micro_usd_per_million_tokens=2_000_000,
        )
        settings = settings_of(environment, openai_api_key="bench", openai_base_url=base_url, models=(offer,))
        async with bench_platform(settings, outermost=[timer]) as platform:
            await _prepare(platform)
            await _run_steps(platform, 20, "warm-up")
            timer.seconds.clear()
            bare: list[float] = []
            by_hand: list[float] = []
            dispatch: list[float] = []
            for number in range(ROUNDS):
                bare += await _bare_calls(base_url, STEPS, f"bare {number}")
                by_hand += await _hand_written_calls(platform.temporal, base_url, STEPS, f"by hand {number}")
                dispatch += await _run_steps(platform, STEPS, f"round {number}")
            alone = await _steps_alone(platform, STEPS * 2)
    baseline = statistics.median(bare)
    overhead = sorted((seconds - baseline) * 1_000 for seconds in timer.seconds)
    over_hand_written = sorted((seconds - statistics.median(by_hand)) * 1_000 for seconds in timer.seconds)
    by_itself = sorted((seconds - baseline) * 1_000 for seconds in alone)
    in_worker = statistics.median(timer.seconds)
    around = sorted((seconds - in_worker) * 1_000 for seconds in dispatch)
    print(
        f"llm: bare call p50 {baseline * 1_000:.2f} ms, in a hand-written activity "
        f"{statistics.median(by_hand) * 1_000:.2f} ms, step in the worker {in_worker * 1_000:.2f} ms, "
        f"{len(overhead)} steps",
        flush=True,
    )
    return {
        "llm_overhead_p50_ms": round(_quantile(overhead, 0.50), 2),
        "llm_overhead_p99_ms": round(_quantile(overhead, 0.99), 2),
        "llm_over_hand_written_p50_ms": round(_quantile(over_hand_written, 0.50), 2),
        "llm_over_hand_written_p99_ms": round(_quantile(over_hand_written, 0.99), 2),
        "llm_alone_p50_ms": round(_quantile(by_itself, 0.50), 2),
        "llm_alone_p99_ms": round(_quantile(by_itself, 0.99), 2),
        "llm_dispatch_p50_ms": round(_quantile(around, 0.50), 2),
        "llm_dispatch_p99_ms": round(_quantile(around, 0.99), 2),
    }


async def _prepare(platform: BenchPlatform) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]}
    async with platform.resources.database.transaction() as session:
        await PromptService(session, platform.resources.clock).create_version(
            org_id=ORG_ID, name="bench", template="Summarize: {{ content }}", input_schema=schema
        )
    body = {"type": "llm", "config": {"prompt_ref": "bench@1", "inputs": {"content": "item"}}}
    # One at a time, as the bare calls are: what is measured is a step, not a crowd.
    node = {"id": "ask", "type": "map", "config": {"over": "inputs.items_", "window": 1, "body": body}}
    schema = {"type": "object", "properties": {"items_": {"type": "array", "items": {"type": "string"}}}}
    document = {"name": "llm-bench", "inputs": schema, "nodes": [node]}
    await platform.service.register(org_id=ORG_ID, text=json.dumps(document))


def _request(count: int, label: str) -> RunRequest:
    return RunRequest(
        workflow_name="llm-bench",
        workflow_version=None,
        inputs={"items_": [f"{label}, passage {number}: {'words of a document ' * 40}" for number in range(count)]},
        budget_micro_usd=MicroUsd(1_000_000_000),
        idempotency_key=None,
    )


async def _run_steps(platform: BenchPlatform, count: int, label: str) -> list[float]:
    """Runs `count` llm steps and returns, of each, the seconds from scheduling to completion by Temporal's clock."""
    submission = await platform.service.submit(org_id=ORG_ID, request=_request(count, label))
    handle = platform.temporal.get_workflow_handle(submission.view.run.run_id)
    await handle.result()
    scheduled: dict[int, tuple[str, float]] = {}
    took: list[float] = []
    async for event in handle.fetch_history_events():
        at = event.event_time.ToNanoseconds() / 1e9
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            scheduled[event.event_id] = (name, at)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            name, began = scheduled[event.activity_task_completed_event_attributes.scheduled_event_id]
            if name == "call_llm":
                took.append(at - began)
    return took


async def _steps_alone(platform: BenchPlatform, count: int) -> list[float]:
    """Performs `count` llm steps of a run that Temporal does not know, and returns the seconds of each."""
    run = await platform.service.record(org_id=ORG_ID, request=_request(count, "alone"))
    reference = RunRef(org_id=ORG_ID, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    steps = StepActivities(platform.resources)
    chain: ActivityInboundInterceptor = _Innermost(steps)
    for interceptor in reversed(step_interceptors(platform.resources)):
        chain = interceptor.intercept_activity(chain)
    environment = ActivityEnvironment()
    seconds: list[float] = []
    for index in range(count):
        call = StepCall(run=reference, node_id="ask", outputs={}, item_index=index, item_count=count, prompt="bench@1")
        wanted = ExecuteActivityInput(fn=steps.call_llm, args=[call], executor=None, headers={})
        began = time.perf_counter()
        await environment.run(chain.execute_activity, wanted)
        seconds.append(time.perf_counter() - began)
    # The first ones warm up.
    return seconds[20:]


class _Innermost(ActivityInboundInterceptor):
    """Where Temporal would call the activity."""

    def __init__(self, steps: StepActivities) -> None:
        self._steps = steps

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        return await self._steps.call_llm(*input.args)


async def _bare_calls(base_url: str, count: int, label: str) -> list[float]:
    async with openai.AsyncOpenAI(api_key="bench", base_url=base_url, max_retries=0) as client:
        return [await _bare_call(client, f"{label}, passage {number}") for number in range(count)]


async def _hand_written_calls(temporal: Client, base_url: str, count: int, label: str) -> list[float]:
    """The seconds of each bare call in a worker of its own."""
    seconds: list[float] = []
    async with openai.AsyncOpenAI(api_key="bench", base_url=base_url, max_retries=0) as client:

        @activity.defn(name=BARE_CALL)
        async def call(passage: str) -> None:
            seconds.append(await _bare_call(client, passage))

        async with Worker(
            temporal,
            task_queue=_HAND_WRITTEN_QUEUE,
            workflows=[HandWrittenCalls],
            activities=[call],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            await temporal.execute_workflow(
                HandWrittenCalls.run, args=[label, count], id=f"hand-written {label}", task_queue=_HAND_WRITTEN_QUEUE
            )
    # The first ones make the connection.
    return seconds[5:]


async def _bare_call(client: openai.AsyncOpenAI, passage: str) -> float:
    prompt = f"Summarize: {passage}: {'words of a document ' * 40}"
    began = time.perf_counter()
    await client.chat.completions.create(
        model=_MODEL, messages=[{"role": "user", "content": prompt}], max_completion_tokens=512
    )
    return time.perf_counter() - began


@contextlib.asynccontextmanager
async def _scripted_vendor() -> AsyncIterator[str]:
    vendor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scripted_provider", "--latency-ms", str(LATENCY_MS)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert vendor.stdout is not None
    try:
        yield str(json.loads(await vendor.stdout.readline())["openai"])
    finally:
        vendor.send_signal(signal.SIGTERM)
        await vendor.wait()


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
