"""`python -m bench.map_scale`: one run over 100,000 items in shards, its worker killed twice on the way.

The same map over 10,000 items is run before, by a worker of its own, so that the two workers' memory can be compared.
Batches are small, so that the map needs 10,000 steps and twenty shards.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
from temporalio.client import Client

from activities.resources import Resources
from bench.bench_platform import ORG_ID, settings_of
from bench.bench_stack import run_bench
from runs.run_view import RunView
from workflows.service import RunRequest, WorkflowService
from workflows.temporal_connection import connect_temporal

SMALL, LARGE = 10_000, 100_000
DOCUMENT: dict[str, Any] = {
    "name": "bench_scale",
    "nodes": [
        {
            "id": "each",
            "type": "map",
            "config": {
                "over": "inputs.numbers",
                "batch": 10,
                "window": 40,
                "body": {
                    "type": "function",
                    "config": {"function_name": "json_projection", "inputs": {"value": "item"}},
                },
            },
        }
    ],
    "outputs": {"results": "each.output"},
}


class WorkerProcess:
    """A worker of its own, watched for the most memory that it has; it can be killed and started again."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._watching = threading.Event()
        self.peak_bytes = 0

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "workflows.worker"], env=self._environment)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.start()
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._watching.set()
            watcher.join()
            self.kill()

    def _watch(self) -> None:
        while not self._watching.wait(0.25):
            process = self._process
            if process is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.peak_bytes = max(self.peak_bytes, psutil.Process(process.pid).memory_info().rss)


class ScaleBench:
    def __init__(self, environment: Mapping[str, str], resources: Resources, temporal: Client) -> None:
        self._environment, self._temporal = environment, temporal
        self._service = WorkflowService(resources.database, resources.blobs, temporal, resources.clock)

    async def measure(self) -> dict[str, float]:
        await self._service.register(org_id=ORG_ID, text=json.dumps(DOCUMENT))
        small, _, _ = await self._run(SMALL, kills=0)
        large, seconds, run_id = await self._run(LARGE, kills=2)
        lost, repeated = await self._account(run_id, LARGE)
        workflows = [run_id, *await self._shards(run_id)]
        events = [await self._events(workflow_id) for workflow_id in workflows]
        return {
            "items": LARGE,
            "items_per_s": round(LARGE / seconds),
            "kills": 2,
            "lost": lost,
            "repeated": repeated,
            "workflows": len(workflows),
            "max_events": max(events),
            "worker_peak_mb_10k": round(small / 1e6),
            "worker_peak_mb_100k": round(large / 1e6),
        }

    async def _run(self, count: int, *, kills: int) -> tuple[int, float, str]:
        """The worker's peak memory in bytes, the seconds from submission to the end, and the run's id."""
        worker = WorkerProcess(self._environment)
        with worker.running():
            began = time.perf_counter()
            request = RunRequest(
                workflow_name=str(DOCUMENT["name"]),
                workflow_version=None,
                inputs={"numbers": list(range(count))},
                budget_micro_usd=None,
                idempotency_key=None,
            )
            run_id = (await self._service.submit(org_id=ORG_ID, request=request)).view.run.run_id
            for kill in range(1, kills + 1):
                await self._until_done(run_id, count * kill // (kills + 1))
                worker.kill()
                print(f"killed the worker after {count * kill // (kills + 1):,} items or more", flush=True)
                worker.start()
            await self._temporal.get_workflow_handle(run_id).result()
            seconds = time.perf_counter() - began
        print(f"{count:,} items: {seconds:.1f} s, worker's peak {worker.peak_bytes / 1e6:.0f} MB", flush=True)
        return worker.peak_bytes, seconds, run_id

    async def _until_done(self, run_id: str, items: int) -> None:
        async with asyncio.timeout(600):
            while True:
                if ((await self._view(run_id)).nodes[0].items_done or 0) >= items:
                    return
                await asyncio.sleep(0.5)

    async def _view(self, run_id: str) -> RunView:
        return await self._service.get_run(org_id=ORG_ID, run_id=run_id)

    async def _account(self, run_id: str, count: int) -> tuple[int, int]:
        """How many items the results lack, and how many stand in them more than once."""
        view = await self._view(run_id)
        if view.outputs is None:
            raise RuntimeError(f"the run has no outputs: {view.run.error_code} {view.run.error_message}")
        values = [result["value"] for result in view.outputs["results"]]
        return len(set(range(count)) - set(values)), len(values) - len(set(values))

    async def _shards(self, run_id: str) -> list[str]:
        async with asyncio.timeout(60):
            while True:
                found = self._temporal.list_workflows(f"WorkflowId STARTS_WITH '{run_id}/'")
                ids = [execution.id async for execution in found]
                # Temporal's index follows its histories with a delay.
                if len(ids) >= LARGE // 10 // 500:
                    return ids
                await asyncio.sleep(0.5)

    async def _events(self, workflow_id: str) -> int:
        description = await self._temporal.get_workflow_handle(workflow_id).describe()
        return int(description.history_length)


async def measure(environment: dict[str, str]) -> dict[str, float]:
    settings = settings_of(environment)
    resources = Resources(settings)
    try:
        return await ScaleBench(environment, resources, await connect_temporal(settings)).measure()
    finally:
        await resources.close()


if __name__ == "__main__":
    run_bench(measure)
