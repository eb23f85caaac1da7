"""The interpreter against hand-written workflows: a fan-out of 200 no-op functions, and a chain of 50."""

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from activities.payloads import RUNS_QUEUE, RunRef
from bench.bench_platform import ORG_ID, BenchPlatform, bench_platform, settings_of
from bench.hand_written import HandWrittenChain, HandWrittenFanOut, HandWrittenStart
from runs.models import Run
from workflows.run_start import start_run
from workflows.service import RunRequest

FAN_OUT, CHAIN = 200, 50
PAIRS = 15


async def interpreter_ratios(environment: dict[str, str]) -> dict[str, float]:
    """`interpreter_ratio_fanout` and `interpreter_ratio_chain`: our time over theirs, the median of pairs."""
    settings = settings_of(environment)
    async with bench_platform(settings, workflows=[HandWrittenFanOut, HandWrittenChain]) as platform:
        fan_out = await _ratio(platform, "fanout", _fan_out(), HandWrittenFanOut)
        chain = await _ratio(platform, "chain", _chain(), HandWrittenChain)
    return {"interpreter_ratio_fanout": fan_out, "interpreter_ratio_chain": chain}


def _noop(node_id: str, inputs: dict[str, str], depends: list[str]) -> dict[str, Any]:
    config = {"function_name": "json_projection", "inputs": inputs}
    return {"id": node_id, "type": "function", "depends": depends, "config": config}


def _fan_out() -> dict[str, Any]:
    return {"name": "fanout", "nodes": [_noop(f"n{place}", {}, []) for place in range(FAN_OUT)]}


def _chain() -> dict[str, Any]:
    nodes = [_noop("n0", {}, [])]
    nodes += [_noop(f"n{at}", {"before": f"n{at - 1}.output"}, [f"n{at - 1}"]) for at in range(1, CHAIN)]
    for node in nodes[2:]:
        # Only whether it was there: a chain of growing outputs would measure JSON.
        node["config"]["inputs"] = {"before": f"{node['depends'][0]}.status"}
    return {"name": "chain", "nodes": nodes}


async def _ratio(platform: BenchPlatform, name: str, document: dict[str, Any], by_hand: type) -> float:
    registration = await platform.service.register(org_id=ORG_ID, text=json.dumps(document))
    node_ids = [node.node_id for node in registration.outline.nodes]
    ratios: list[float] = []
    for pair in range(PAIRS + 1):
        run, other = await _recorded_run(platform, name), await _recorded_run(platform, name)

        async def ours(run: Run = run) -> None:
            await start_run(platform.temporal, run)
            await platform.temporal.get_workflow_handle(run.run_id).result()

        async def theirs(run: Run = other) -> None:
            own = RunRef(org_id=ORG_ID, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
            await platform.temporal.execute_workflow(
                by_hand.run,  # type: ignore[attr-defined]  # both classes have it
                HandWrittenStart(run=own, node_ids=node_ids),
                id=own.run_id,
                task_queue=RUNS_QUEUE,
            )

        # The order alternates, so that neither side always runs on the warmer machine.
        first, second = (ours, theirs) if pair % 2 else (theirs, ours)
        timed = {first: await _timed(first), second: await _timed(second)}
        if pair:
            ratios.append(timed[ours] / timed[theirs])
            print(
                f"{name}: ours {timed[ours]:.3f} s, by hand {timed[theirs]:.3f} s, ratio {ratios[-1]:.3f}", flush=True
            )
    return round(statistics.median(ratios), 3)


async def _recorded_run(platform: BenchPlatform, name: str) -> Run:
    """A run that is recorded, and left for the bench to start."""
    request = RunRequest(
        workflow_name=name, workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    return await platform.service.record(org_id=ORG_ID, request=request)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
