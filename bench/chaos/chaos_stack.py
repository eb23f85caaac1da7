"""The stack that is killed: every part on this machine, started again whenever it dies."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg

from bench.chaos.tool_server import SERVER
from cli.embedded.agentflow_services import api_service, worker_service
from cli.embedded.backoff import Backoff
from cli.embedded.key_files import ensure_dev_api_key, ensure_vault_key
from cli.embedded.log_file import LogFile
from cli.embedded.ports import free_port
from cli.embedded.postgres_keeper import PostgresKeeper
from cli.embedded.process_settings import StackProcess
from cli.embedded.service_process import ServiceProcess
from cli.embedded.stack import StackPart
from cli.embedded.stack_environment import process_environment, without_proxy_for_loopback
from cli.embedded.temporal_server import TemporalDevServer
from cli.embedded.waiting import LOOPBACK, accepts_connections, wait_until

#: What dies is back at once: a long absence is another test than many short ones.
_BACKOFF = Backoff(first_seconds=0.2, longest_seconds=1.0, healthy_after_seconds=1.0)
_STOP_GRACE_SECONDS = 3.0
_GONE_TIMEOUT_SECONDS = 10.0
_TAIL_LINES, _LONGEST_LINE = 12, 300
_CONNECT_SECONDS = 5
BUCKET = "documents"
MODEL = "scripted-1"
_REPOSITORY = Path(__file__).resolve().parents[2]


class ChaosStack:
    """PostgreSQL, Temporal on its own database file, the API, and workers; as a context manager it ends them all.

    Worker `worker-0` and the API are armed processes (see bench.chaos.armed_process): they die by themselves at what
    stands in `arms_of(part)`, and are plain ones while that file is absent.
    """

    def __init__(self, folder: Path, *, model_url: str, service_host: str, tools_url: str) -> None:
        self.folder = folder
        self._model_url, self._service_host, self._tools_url = model_url, service_host, tools_url
        self._parts: dict[str, StackPart] = {}
        self._api_port = free_port()
        self.api_key = ensure_dev_api_key(folder / "dev-api-key")
        self.database_url = ""
        self.temporal_address = ""

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self._api_port}"

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._parts)

    def arms_of(self, part: str) -> Path:
        """Where the arms of a part stand: one a line, the first is the next."""
        return self.folder / f"{part}.arms"

    def pid(self, part: str) -> int | None:
        return self._parts[part].pid

    def kill(self, part: str) -> int | None:
        """Ends a part by SIGKILL, its children too; gives its process id, or None when it was not there to kill."""
        pid = self._parts[part].pid
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            process.kill()
        except psutil.NoSuchProcess:
            return None
        for member in family[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        if part == "postgres":
            # A server is not started again beside the last processes of the one before.
            psutil.wait_procs(family, timeout=_GONE_TIMEOUT_SECONDS)
        return pid

    def absences(self) -> dict[str, str]:
        """The parts that do not answer at this moment, each with what is known of the reason."""
        found = {}
        for name, part in dict(self._parts).items():
            if part.pid is None:
                problem = part.problem if isinstance(part, PostgresKeeper) else None
                found[name] = problem or f"no process; the end of its log:\n{self.tail(name)}"
            elif not self._answers(part):
                found[name] = f"process {part.pid} does not answer; the end of its log:\n{self.tail(name)}"
        return found

    def abandon(self) -> None:
        """Ends every part at once, PostgreSQL last: it alone would outlive this process."""
        for name in (*reversed(self._parts), "postgres"):
            pid = self._parts[name].pid
            with contextlib.suppress(psutil.Error):
                if pid is not None:
                    psutil.Process(pid).kill()

    def _answers(self, part: StackPart) -> bool:
        if isinstance(part, PostgresKeeper):
            return _takes_connections(self.database_url)
        if isinstance(part, TemporalDevServer):
            return accepts_connections(part.port)
        return not isinstance(part, ServiceProcess) or part.spec.is_ready()

    def start_worker(self, number: int) -> None:
        """Starts one of the workers, and returns when it is ready."""
        name = f"worker-{number}"
        ready_file = self.folder / f"{name}.ready"
        made = worker_service(
            ready_file,
            environment=self._environment(StackProcess.WORKER),
            logs_folder=self.folder / "logs",
            on_restart=lambda: None,
        )
        self._start(name, made, module="workflows.worker")

    def wait_ready(self, part: str, *, timeout_seconds: float = 60.0) -> bool:
        service = self._parts[part]
        return not isinstance(service, ServiceProcess) or wait_until(
            lambda: service.pid is not None and service.spec.is_ready(), timeout_seconds=timeout_seconds
        )

    def tail(self, part: str) -> str:
        """The end of what a part has written."""
        file = self.folder / ("postgres/log" if part == "postgres" else f"logs/{part}.log")
        return "\n".join(line[:_LONGEST_LINE] for line in LogFile(file).tail(_TAIL_LINES).splitlines())

    def __enter__(self) -> Self:
        (self.folder / "logs").mkdir(exist_ok=True)
        (self.folder / BUCKET).mkdir(exist_ok=True)
        try:
            self._start_foundations()
            api = api_service(
                self._api_port,
                environment=self._environment(StackProcess.API),
                logs_folder=self.folder / "logs",
                on_restart=lambda: None,
            )
            self._start("api", api, module="api")
            self.start_worker(0)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start_foundations(self) -> None:
        postgres = PostgresKeeper(self.folder / "postgres", backoff=_BACKOFF)
        self._parts["postgres"] = postgres
        postgres.start()
        self.database_url = postgres.url
        temporal = TemporalDevServer(self.folder, backoff=_BACKOFF)
        self._parts["temporal"] = temporal
        temporal.start()
        self.temporal_address = temporal.address

    def _start(self, name: str, made: ServiceProcess, *, module: str) -> None:
        spec = replace(
            made.spec,
            name=name,
            command=[*made.spec.command[:1], "-m", "bench.chaos.armed_process", module],
            environment={**made.spec.environment, "CHAOS_ARMS": str(self.arms_of(name))},
            log_file=self.folder / "logs" / f"{name}.log",
            backoff=_BACKOFF,
            stop_grace_seconds=_STOP_GRACE_SECONDS,
        )
        service = ServiceProcess(spec)
        self._parts[name] = service
        service.start()

    def _environment(self, process: StackProcess) -> dict[str, str]:
        offer = {
            "provider": "openai",
            "model": MODEL,
            "input_micro_usd_per_million_tokens": 1_000_000,
            "output_micro_usd_per_million_tokens": 2_000_000,
        }
        return process_environment(
            process,
            {
                "PYTHONPATH": str(_REPOSITORY),
                "DATABASE_URL": self.database_url,
                "DB_POOL_SIZE": "5",
                "TEMPORAL_ADDRESS": self.temporal_address,
                "TEMPORAL_NAMESPACE": "default",
                "TEMPORAL_TLS": "false",
                "VAULT_KEY": ensure_vault_key(self.folder / "vault.key"),
                "AGENTFLOW_DEV_API_KEY_FILE": str(self.folder / "dev-api-key"),
                "API_HOST": LOOPBACK,
                "API_PORT": str(self._api_port),
                "OPENAI_API_KEY": "chaos",
                "OPENAI_BASE_URL": self._model_url,
                "MODELS": json.dumps([offer]),
                "BUCKETS": json.dumps({BUCKET: f"{(self.folder / BUCKET).as_uri()}/"}),
                "HTTP_ALLOWED_HOSTS": json.dumps([self._service_host]),
                "MCP_SERVERS": json.dumps({SERVER: {"url": self._tools_url}}),
                "WORKER_GRACE_SECONDS": "1",
                "SANDBOX_CACHE_DIRECTORY": str(self.folder / "sandbox"),
                **without_proxy_for_loopback(os.environ),
            },
        )

    def _stop(self) -> None:
        parts, self._parts = self._parts, {}
        for part in reversed(parts.values()):
            part.stop()


def _takes_connections(database_url: str) -> bool:
    try:
        psycopg.connect(database_url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error:
        return False
    return True
