"""`python -m bench.map_throughput`: items per second of a map of no-op functions, three ways in one run.

(a) plain Temporal, an activity for each item; (b) LangGraph with its PostgreSQL checkpointer, durability `sync`;
(c) ours: durable, each item with a status and a journal row of its own. The rounds alternate, so that none of the
three always has the warmer machine; the figures are medians.
"""

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agentflow.ids import new_id
from bench.bench_platform import ORG_ID, BenchPlatform, bench_platform, settings_of
from bench.bench_stack import run_bench
from bench.langgraph_map import langgraph_map, run_langgraph_map
from bench.naive_map import QUEUE, NaiveMap, naive_worker
from workflows.service import RunRequest

ROUNDS = 5
NAIVE_ITEMS, LANGGRAPH_ITEMS, OUR_ITEMS = 1_000, 2_000, 100_000

DOCUMENT: dict[str, Any] = {
    "name": "bench_map",
    "nodes": [
        {
            "id": "each",
            "type": "map",
            "config": {
                "over": "inputs.numbers",
                "body": {
                    "type": "function",
                    "config": {"function_name": "json_projection", "inputs": {"value": "item"}},
                },
            },
        }
    ],
}


async def our_map(platform: BenchPlatform, count: int) -> None:
    request = RunRequest(
        workflow_name=DOCUMENT["name"],
        workflow_version=None,
        inputs={"numbers": list(range(count))},
        budget_micro_usd=None,
        idempotency_key=None,
    )
    submission = await platform.service.submit(org_id=ORG_ID, request=request)
    await platform.temporal.get_workflow_handle(submission.view.run.run_id).result()


async def measure(environment: dict[str, str]) -> dict[str, float]:
    settings = settings_of(environment)
    figures: dict[str, list[float]] = {"naive": [], "langgraph": [], "ours": []}
    async with bench_platform(settings) as platform, langgraph_map(settings.effective_database_url) as graph:
        await platform.service.register(org_id=ORG_ID, text=json.dumps(DOCUMENT))

        async def naive() -> None:
            async with naive_worker(platform.temporal):
                assert (
                    await platform.temporal.execute_workflow(
                        NaiveMap.run, NAIVE_ITEMS, id=new_id("run"), task_queue=QUEUE
                    )
                    == NAIVE_ITEMS
                )

        async def langgraph() -> None:
            assert await run_langgraph_map(graph, count=LANGGRAPH_ITEMS, thread_id=new_id("run")) == LANGGRAPH_ITEMS

        async def ours() -> None:
            await our_map(platform, OUR_ITEMS)

        contenders: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("naive", NAIVE_ITEMS, naive),
            ("langgraph", LANGGRAPH_ITEMS, langgraph),
            ("ours", OUR_ITEMS, ours),
        ]
        for number in range(ROUNDS + 1):
            for name, items, run in contenders if number % 2 else contenders[::-1]:
                began = time.perf_counter()
                await run()
                rate = items / (time.perf_counter() - began)
                print(f"round {number}: {name} {rate:,.0f} items/s", flush=True)
                if number:
                    figures[name].append(rate)
    naive_rate, langgraph_rate, our_rate = (statistics.median(figures[name]) for name in figures)
    return {
        "naive_items_per_s": round(naive_rate),
        "langgraph_items_per_s": round(langgraph_rate),
        "ours_items_per_s": round(our_rate),
        "ratio_naive": round(our_rate / naive_rate, 1),
        "ratio_langgraph": round(our_rate / langgraph_rate, 1),
    }


if __name__ == "__main__":
    run_bench(measure)
