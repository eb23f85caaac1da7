"""The whole stack as one object: parts that do not need each other start side by side, and stop in reverse order.

PostgreSQL ‖ Temporal ‖ model, then API ‖ worker. Everything listens on 127.0.0.1 only.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from agentflow.tenant_repository import DEV_ORG_ID
from cli.embedded.agentflow_services import api_service, worker_service
from cli.embedded.errors import StartCancelled, told_as_unusable
from cli.embedded.key_files import ensure_dev_api_key, ensure_vault_key
from cli.embedded.local_model_server import LocalModelServer
from cli.embedded.payload_sealing import payload_settings
from cli.embedded.ports import ResolvedPorts, StackPorts, free_port
from cli.embedded.postgres_keeper import PostgresKeeper
from cli.embedded.process_identity import started_at
from cli.embedded.process_settings import StackProcess
from cli.embedded.room import check_room
from cli.embedded.stack_environment import (
    buckets_setting,
    models_setting,
    process_environment,
    without_proxy_for_loopback,
)
from cli.embedded.stack_record import StackLock, StackRecord, StackState
from cli.embedded.temporal_server import TemporalDevServer
from cli.embedded.waiting import LOOPBACK
from cli.example_files import copy_sample_documents

log = logging.getLogger(__name__)


class StackPart(Protocol):
    """What the stack asks of each of its parts."""

    @property
    def pid(self) -> int | None:
        """The part's process; None while it does not run."""
        ...

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Returns when the part is ready."""
        ...

    def stop(self) -> None:
        """Stops the part; harmless when it never started."""
        ...


class EmbeddedStack:
    """PostgreSQL, Temporal, the local model, the API and the worker, with their data in `data_dir`.

    Not to be started twice: make another one. As a context manager it starts and stops itself.
    `with_services=False` leaves out the API and the worker, for programs that run workers of their own.
    """

    def __init__(
        self,
        data_dir: Path,
        ports: StackPorts | None = None,
        *,
        with_model: bool = True,
        with_services: bool = True,
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._wanted_ports = ports or StackPorts()
        self._with_model, self._with_services = with_model, with_services
        self._lock = StackLock(self.data_dir)
        self._cancelled = threading.Event()
        #: In the order of starting.
        self._parts: dict[str, StackPart] = {}
        self._settings: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._state: StackState = "starting"
        #: Restarts of several parts may want to be recorded at once.
        self._recording = threading.Lock()

    @property
    def addresses(self) -> dict[str, str]:
        """Name → URL, `host:port` or path of what a user meets; complete once the stack has started."""
        return dict(self._addresses)

    def environment(self) -> dict[str, str]:
        """What the stack's processes and its clients need, to be laid over `os.environ`; known after `start`.

        It holds the vault key: it goes to processes, never to logs.
        """
        return dict(self._settings)

    def pids(self) -> dict[str, int | None]:
        """Part → process id; None while the part is being started again."""
        return {name: part.pid for name, part in self._parts.items()}

    def start(self) -> None:
        """Returns when every part is ready; when it raises, nothing of the stack is left running.

        Raises StackAlreadyRunning, PortTaken, PartFailed, FolderUnusable, StartCancelled (after `cancel_start`), and
        ConfigurationError when the `embedded` extra is not installed.
        """
        with told_as_unusable(self.data_dir):
            self._start()

    def _start(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
        check_room(self.data_dir)
        self._lock.acquire()
        try:
            ports = self._wanted_ports.resolve()
            self._record()
            self._start_foundations(ports)
            if self._with_services:
                self._start_services(ports)
            self._state = "ready"
            self._record()
        except BaseException:
            self.stop()
            raise

    def cancel_start(self) -> None:
        """Makes a `start` in another thread stop what it started and raise StartCancelled; harmless afterwards."""
        self._cancelled.set()

    def stop(self) -> None:
        """Stops the parts in reverse order of starting and gives the data folder back. Idempotent."""
        self._cancelled.set()
        parts, self._parts = self._parts, {}
        for part in reversed(parts.values()):
            part.stop()
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_foundations(self, ports: ResolvedPorts) -> None:
        logs = self.data_dir / "logs"
        postgres = PostgresKeeper(self.data_dir / "postgres", on_restart=self._record_restart)
        temporal = TemporalDevServer(self.data_dir, ports.temporal, ports.ui, on_restart=self._record_restart)
        parts: dict[str, StackPart] = {"postgres": postgres, "temporal": temporal}
        if self._with_model:
            model = LocalModelServer(ports.model, logs_folder=logs, on_restart=self._record_restart)
            parts["model"] = model
            self._settings["LOCAL_MODEL_URL"] = self._addresses["model"] = model.url
        self._settings |= self._own_settings(ports)
        self._start_together(parts)
        self._settings |= {
            "DATABASE_URL": postgres.url,
            "TEMPORAL_ADDRESS": temporal.address,
            "TEMPORAL_UI_URL": temporal.ui_url,
        }
        self._addresses |= {"temporal": temporal.address, "temporal_ui": temporal.ui_url, "database": postgres.url}
        self._addresses |= {"api_key_file": self._settings["AGENTFLOW_DEV_API_KEY_FILE"], "logs": str(logs)}
        with contextlib.suppress(OSError):
            # For people; it may lead to where an earlier server was.
            if (logs / "postgres.log").is_symlink():
                (logs / "postgres.log").unlink()
            (logs / "postgres.log").symlink_to(postgres.log_file)

    def _own_settings(self, ports: ResolvedPorts) -> dict[str, str]:
        key_file = self.data_dir / "dev-api-key"
        ensure_dev_api_key(key_file)
        return {
            **payload_settings(self.data_dir),
            # Not the user's, if there is one: what this folder's database holds was encrypted with this one.
            "VAULT_KEY": ensure_vault_key(self.data_dir / "vault.key"),
            "AGENTFLOW_DEV_API_KEY_FILE": str(key_file),
            "API_HOST": LOOPBACK,
            "API_PORT": str(ports.api),
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_TLS": "false",
            # Nobody else reaches what listens on this machine only.
            "ENVIRONMENT": "development",
            **models_setting(with_local_model=self._with_model),
            **buckets_setting(copy_sample_documents(self.data_dir / "documents")),
            **without_proxy_for_loopback(os.environ),
        }

    def _start_services(self, ports: ResolvedPorts) -> None:
        metrics_port = free_port()
        worker_settings = {**self._settings, "WORKER_METRICS_PORT": str(metrics_port)}
        logs = self.data_dir / "logs"
        api = api_service(
            ports.api,
            environment=process_environment(StackProcess.API, self._settings),
            logs_folder=logs,
            on_restart=self._record_restart,
        )
        worker = worker_service(
            self.data_dir / "worker.ready",
            environment=process_environment(StackProcess.WORKER, worker_settings),
            logs_folder=logs,
            on_restart=self._record_restart,
        )
        self._start_together({"api": api, "worker": worker})
        self._addresses = {
            "api": f"http://{LOOPBACK}:{ports.api}",
            **self._addresses,
            "organisation": DEV_ORG_ID,
            "worker_metrics": f"http://{LOOPBACK}:{metrics_port}/metrics",
        }

    def _start_together(self, parts: Mapping[str, StackPart]) -> None:
        """Starts `parts` side by side; the first failure makes the others give up, and is what is raised."""
        if self._cancelled.is_set():
            raise StartCancelled
        # A copy: keepers of running parts may be reading the one before.
        self._parts = {**self._parts, **parts}
        with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="start") as starters:
            starts = [starters.submit(part.start, self._cancelled) for part in parts.values()]
            _, pending = wait(starts, return_when=FIRST_EXCEPTION)
            if pending:
                self._cancelled.set()
        failures = [failure for start in starts if (failure := start.exception()) is not None]
        failures.sort(key=lambda failure: isinstance(failure, StartCancelled))
        if failures:
            raise failures[0]

    def _record(self) -> None:
        with self._recording:
            record = StackRecord(
                state=self._state,
                supervisor_pid=os.getpid(),
                supervisor_started_at=started_at(os.getpid()),
                addresses=self.addresses,
                pids=self.pids(),
            )
            record.write(self.data_dir)

    def _record_restart(self) -> None:
        """To be called by a part's keeper, which must go on whatever becomes of the record."""
        try:
            self._record()
        except OSError as error:
            log.warning("stack.unrecorded folder=%s reason=%s", self.data_dir, error)
