"""`python -m bench.fairness`: one organisation with 10,000 model calls must not starve another with 10.

The ten are asked for again and again, before the ten thousand and while they are worked on; what counts is how long
each step waits for a worker. The vendor answers after 50 ms; the worker has four slots for model calls.
"""

import asyncio
import contextlib
import json
import signal
import statistics
import sys
from collections.abc import AsyncIterator

from agentflow.settings import ModelOffer
from bench.bench_platform import bench_platform, settings_of
from bench.bench_stack import run_bench
from bench.crowd import Crowd, p95

BIG_ITEMS, ROUNDS = 10_000, 30
LATENCY_MS, SLOTS = 50, 4


async def measure(environment: dict[str, str]) -> dict[str, float]:
    async with _vendor() as base_url:
        offer = ModelOffer(
            provider="openai",
            model="scripted-1",
            input_micro_usd_per_million_tokens=0,
            output_micro_usd_per_million_tokens=0,
        )
        settings = settings_of(
            environment, openai_api_key="bench", openai_base_url=base_url, models=(offer,), worker_llm_slots=SLOTS
        )
        async with bench_platform(settings) as platform:
            crowd = Crowd(platform.resources, platform.service, platform.temporal)
            waits = await crowd.measure(big_items=BIG_ITEMS, rounds=ROUNDS, wait_for_end=True)
    alone, shared = p95(waits.alone), p95(waits.shared)
    print(
        f"{len(waits.shared)} steps beside {waits.big_done_meanwhile:,} of {waits.big_done:,}: "
        f"p50 {statistics.median(waits.shared):.0f} ms, alone {statistics.median(waits.alone):.0f} ms",
        flush=True,
    )
    return {
        "alone_p95_ms": round(alone, 1),
        "shared_p95_ms": round(shared, 1),
        "ratio": round(shared / alone, 2),
        "big_items_done": waits.big_done,
    }


@contextlib.asynccontextmanager
async def _vendor() -> AsyncIterator[str]:
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


if __name__ == "__main__":
    run_bench(measure)
