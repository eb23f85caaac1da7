"""AgentFlow's own processes as parts of the stack: the API and the worker."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.embedded.service_process import ServiceProcess, ServiceSpec
from cli.embedded.waiting import answers_http

_READY_TIMEOUT_SECONDS = 60.0


def python_module(module: str) -> list[str]:
    """The command that runs `module` of this Python environment.

    `-P` keeps the working folder out of the import path: it is the user's, and may have an `api/` of its own.
    """
    return [sys.executable, "-P", "-m", module]


def api_service(
    port: int, *, environment: Mapping[str, str], logs_folder: Path, on_restart: Callable[[], None]
) -> ServiceProcess:
    """The HTTP API, ready when `/ready` answers 200: then it reaches the database and Temporal."""
    spec = ServiceSpec(
        name="api",
        command=python_module("api"),
        environment=environment,
        log_file=logs_folder / "api.log",
        is_ready=lambda: answers_http(port, "/ready"),
        ready_timeout_seconds=_READY_TIMEOUT_SECONDS,
    )
    return ServiceProcess(spec, on_restart=on_restart)


def worker_service(
    ready_file: Path, *, environment: Mapping[str, str], logs_folder: Path, on_restart: Callable[[], None]
) -> ServiceProcess:
    """The worker, ready when it has made `ready_file`: then it polls its task queues."""
    spec = ServiceSpec(
        name="worker",
        command=python_module("workflows.worker"),
        environment={**environment, "AGENTFLOW_READY_FILE": str(ready_file)},
        log_file=logs_folder / "worker.log",
        is_ready=ready_file.exists,
        ready_timeout_seconds=_READY_TIMEOUT_SECONDS,
        before_start=lambda: ready_file.unlink(missing_ok=True),
    )
    return ServiceProcess(spec, on_restart=on_restart)
