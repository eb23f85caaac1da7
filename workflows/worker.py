"""The worker process: `python -m workflows.worker [--queues runs,llm,llm:openai,tools,code]`.

It polls the task queues, performs workflows and activities, and sweeps. SIGTERM or SIGINT makes it take nothing more,
let its steps go on for WORKER_GRACE_SECONDS, and end with exit code 0.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import uvloop
from temporalio.client import Client
from temporalio.worker import Interceptor, PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from activities.agent_activities import AgentActivities
from activities.code_activity import CodeActivity
from activities.doubt_activities import DoubtActivities
from activities.gate_activities import GateActivities
from activities.interceptors.agent_turns import AgentTurnsInterceptor
from activities.interceptors.cas_routing import CasRoutingInterceptor
from activities.interceptors.effect_journal import EffectJournalInterceptor
from activities.interceptors.heartbeat import HeartbeatInterceptor
from activities.interceptors.prompt_rendering import PromptRenderingInterceptor
from activities.interceptors.scl_policy import SclPolicyInterceptor
from activities.interceptors.tracing import TracingInterceptor
from activities.map_activities import MapActivities
from activities.node_activities import NodeActivities
from activities.payloads import (
    CODE_QUEUE,
    LLM_QUEUE,
    RUNS_QUEUE,
    TOOLS_QUEUE,
)
from activities.resources import Resources
from activities.run_activities import RunActivities
from activities.step_activities import StepActivities
from agentflow.errors import AgentflowError, ConfigurationError
from agentflow.loaded_memory import keep_what_is_loaded
from agentflow.process_exit import exit_process
from agentflow.settings import Settings, load_settings
from cas.errors import ProviderNotConfigured
from observability.telemetry.logging import configure_logging, get_logger
from runs.admission_models import admission_defaults
from workflows.attribute_registry import look_for_attributes
from workflows.dag_run import AgentDag
from workflows.housekeeper import open_housekeeper
from workflows.map_shard import MapShard
from workflows.run_start import start_each
from workflows.sweeper import Sweeper
from workflows.task_queues import is_of_provider, queue_names, read_queue_names, task_queue_of
from workflows.temporal_connection import connect_temporal
from workflows.worker_versions import version_options

_log = get_logger(__name__)

#: What the interpreter is made of.
WORKFLOWS: tuple[type, ...] = (AgentDag, MapShard)
#: A cancellation comes back with a heartbeat, so this is also how long one may take to arrive.
_HEARTBEAT_THROTTLE = timedelta(seconds=2)
_CONNECT_PATIENCE_SECONDS = 60.0


def step_interceptors(resources: Resources) -> list[Interceptor]:
    """What stands around every step, from outside in; docs/decisions/0004 has the reasons for the order."""
    return [
        HeartbeatInterceptor(),
        TracingInterceptor(resources),
        EffectJournalInterceptor(resources),
        AgentTurnsInterceptor(resources),
        SclPolicyInterceptor(resources),
        PromptRenderingInterceptor(resources),
        CasRoutingInterceptor(resources),
    ]


def build_workers(
    temporal: Client,
    resources: Resources,
    *,
    queues: Sequence[str] | None = None,
    sandboxed: bool = False,
    workflows: Sequence[type] = WORKFLOWS,
    interceptors: Sequence[Interceptor] | None = None,
) -> list[Worker]:
    """A worker for each of `queues`, or of all there are; the interpreter holds no user code and needs no sandbox."""
    queues = queue_names(resources.settings) if queues is None else queues
    around = step_interceptors(resources) if interceptors is None else list(interceptors)
    steps, maps = StepActivities(resources), MapActivities(resources)
    runs = RunActivities(resources, partial(start_each, temporal))
    gates, doubts = GateActivities(resources), DoubtActivities(resources)
    nodes = NodeActivities(resources)
    versioned = version_options(resources.settings)
    grace = timedelta(seconds=resources.settings.worker_grace_seconds)
    polling = PollerBehaviorAutoscaling(minimum=1, maximum=20, initial=4)
    workers = []
    if "runs" in queues:
        runner = {} if sandboxed else {"workflow_runner": UnsandboxedWorkflowRunner()}
        workers.append(
            Worker(
                temporal,
                task_queue=RUNS_QUEUE,
                workflows=workflows,
                activities=[
                    runs.open_run,
                    runs.close_run,
                    runs.collect_items,
                    maps.open_map,
                    maps.run_batch,
                    maps.close_map,
                    gates.open_gate,
                    gates.escalate_gate,
                    gates.close_gate,
                    nodes.open_child,
                    nodes.settle_node,
                    nodes.fail_child,
                    nodes.evaluate_condition,
                    AgentActivities(resources).settle_agent,
                    doubts.open_doubt,
                    doubts.close_doubt,
                    steps.run_function,
                ],
                interceptors=around,
                max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
                max_concurrent_activities=resources.settings.worker_runs_slots,
                graceful_shutdown_timeout=grace,
                activity_task_poller_behavior=polling,
                workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=2, maximum=20, initial=4),
                **versioned,
                **runner,  # type: ignore[arg-type]  # one keyword, of the right type, or none
            )
        )
    for name, queue, perform, slots in (
        ("llm", LLM_QUEUE, steps.call_llm, resources.settings.worker_llm_slots),
        ("tools", TOOLS_QUEUE, steps.call_tool, resources.settings.worker_tools_slots),
        # As many as run at once: what waits, waits in the queue, where no time limit of an attempt counts.
        ("code", CODE_QUEUE, CodeActivity(resources).run_code, resources.settings.sandbox_concurrency),
        *(
            (name, task_queue_of(name), steps.call_llm, resources.settings.worker_llm_slots)
            for name in queues
            if is_of_provider(name)
        ),
    ):
        if name in queues:
            workers.append(
                Worker(
                    temporal,
                    task_queue=queue,
                    activities=[perform],
                    interceptors=around,
                    max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
                    max_concurrent_activities=slots,
                    graceful_shutdown_timeout=grace,
                    activity_task_poller_behavior=polling,
                    **versioned,
                )
            )
    return workers


async def run_worker(settings: Settings, queues: Sequence[str] | None) -> None:
    """Works until SIGTERM or SIGINT; raises ConfigurationError when Temporal does not answer."""
    queues = queue_names(settings) if queues is None else queues
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    resources = Resources(settings)
    try:
        await _import_providers(resources)
        temporal = await _connect_patiently(settings)
        await look_for_attributes(temporal)
        if settings.worker_metrics_port is not None:
            resources.metrics.serve(host=settings.worker_metrics_host, port=settings.worker_metrics_port)
        async with AsyncExitStack() as stack:
            for worker in build_workers(temporal, resources, queues=queues):
                await stack.enter_async_context(worker)
            admission = admission_defaults(settings)
            sweeper = Sweeper(resources.database, temporal, resources.clock, admission=admission)
            watching = asyncio.gather(sweeper.run(), open_housekeeper(resources).run())
            _log.info("worker.ready", queues=list(queues), temporal=settings.temporal_address)
            keep_what_is_loaded()
            _write_ready_file()
            await stopped.wait()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        _log.info("worker.stopped")
    finally:
        await resources.close()


async def _connect_patiently(settings: Settings) -> Client:
    deadline = asyncio.get_running_loop().time() + _CONNECT_PATIENCE_SECONDS
    while True:
        try:
            return await connect_temporal(settings)
        except RuntimeError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(
                    f"no Temporal server answers at {settings.temporal_address!r}: start one, or set TEMPORAL_ADDRESS"
                ) from error
            _log.warning("temporal.away", address=settings.temporal_address)
            await asyncio.sleep(1)


async def _import_providers(resources: Resources) -> None:
    """Imports the SDKs that the offered models need, so that no first call waits for that."""
    for name in sorted({offer.provider for offer in resources.settings.models}):
        try:
            await asyncio.to_thread(resources.providers.get, name)
        except ProviderNotConfigured as error:
            _log.warning("provider.not_configured", provider=name, reason=str(error))


def _write_ready_file() -> None:
    name = os.environ.get("AGENTFLOW_READY_FILE")
    if name:
        Path(name).touch()


def _queues(text: str) -> list[str]:
    try:
        return read_queue_names(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m workflows.worker", description=__doc__)
    parser.add_argument("--queues", type=_queues, help="which kinds of work to take; all by default")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        configure_logging(settings)
        uvloop.run(run_worker(settings, arguments.queues))
    except AgentflowError as error:
        print(f"the worker cannot run: {error}", file=sys.stderr, flush=True)  # noqa: T201  # before logs, or of them
        exit_process(1)
    except Exception:  # noqa: BLE001  # The process's edge: a worker whose poller died ends, and is started again.
        _log.exception("worker.failed")
        exit_process(1)
    exit_process(0)


if __name__ == "__main__":
    main()
