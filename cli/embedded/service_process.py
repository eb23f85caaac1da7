"""A child process that is kept alive: started, watched, started again when it crashes, and stopped in order.

Each child has a thread of its own that forks it and waits for it. This is not only convenient: the kernel ties
the tether (see cli.embedded.tethered_exec) to the forking *thread*, so that thread must outlive the child.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded import tethered_exec
from cli.embedded.backoff import Backoff
from cli.embedded.errors import PartFailed, StartCancelled
from cli.embedded.log_file import LogFile, piped
from cli.embedded.waiting import wait_until

log = logging.getLogger(__name__)

#: What a child wrote last is read before it counts as gone; something that it left behind may hold its pipe open.
_LAST_WORDS_SECONDS = 2.0
_GONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What to run, and how to know that it works."""

    name: str
    command: Sequence[str]
    #: The whole environment of the child.
    environment: Mapping[str, str]
    log_file: Path
    is_ready: Callable[[], bool]
    ready_timeout_seconds: float = 30.0
    #: From SIGTERM to SIGKILL.
    stop_grace_seconds: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    #: Called before every start, such as to remove a ready-file of the run before.
    before_start: Callable[[], None] = lambda: None


class ServiceProcess:
    """One kept-alive child, in a session and process group of its own, that dies with this process."""

    def __init__(self, spec: ServiceSpec, *, on_restart: Callable[[], None] = lambda: None) -> None:
        self.spec = spec
        self._on_restart = on_restart
        self._log_file = LogFile(spec.log_file)
        self._stopping = threading.Event()
        #: Held while a child is made or the part's fate is decided, so that `start`, `stop` and the keeper agree.
        self._state = threading.Lock()
        self._was_ready = False
        self._start_failure: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._restarts = 0

    @property
    def name(self) -> str:
        """The part's name, as people read it."""
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The running child's process id; None between runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def restarts(self) -> int:
        """How often the child was started again after a crash."""
        return self._restarts

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Starts the child and returns when it is ready.

        Raises PartFailed, with the end of its log, when it exits or its deadline passes before; StartCancelled
        when `cancelled` is set first. In both cases nothing is left running.
        """
        self._keeper = threading.Thread(target=self._keep_alive, name=f"keep-{self.name}", daemon=True)
        self._keeper.start()
        wait_until(
            lambda: self._start_failure is not None or self._is_ready(),
            timeout_seconds=self.spec.ready_timeout_seconds,
            cancelled=cancelled,
        )
        if self._settle_as_ready():
            return
        self.stop()
        if cancelled is not None and cancelled.is_set():
            raise StartCancelled
        reason = self._start_failure or f"was not ready after {self.spec.ready_timeout_seconds:g} s"
        raise PartFailed(part=self.name, reason=reason, log_file=self.spec.log_file, log_tail=self._log_file.tail())

    def _is_ready(self) -> bool:
        # Not before there is a child: what the run before left behind might look like readiness.
        return self._process is not None and self.spec.is_ready()

    def _settle_as_ready(self) -> bool:
        is_ready = self._start_failure is None and self._is_ready()
        with self._state:
            self._was_ready = is_ready and self._start_failure is None
            return self._was_ready

    def stop(self) -> None:
        """Asks the child to end (SIGTERM); after its grace period, ends its whole group (SIGKILL). Idempotent."""
        with self._state:
            self._stopping.set()
            process = self._process
        keeper = self._keeper
        if keeper is None:
            return
        if process is not None:
            process.terminate()
        keeper.join(self.spec.stop_grace_seconds)
        if keeper.is_alive() and process is not None:
            log.warning("service.killed name=%s grace_seconds=%g", self.name, self.spec.stop_grace_seconds)
            _kill_group(process.pid)
            keeper.join(_GONE_SECONDS)
            if keeper.is_alive():
                # It waits in the kernel, for a disk perhaps; nobody can do more.
                log.warning("service.not_gone name=%s pid=%s", self.name, process.pid)

    def _keep_alive(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            outcome = self._run_once()
            if self._stopping.is_set() or self._failed_to_start(outcome):
                return
            crashes = self.spec.backoff.crashes_in_a_row(crashes, ran_for_seconds=time.monotonic() - started_at)
            delay = self.spec.backoff.delay_seconds(crashes)
            log.warning("service.crashed name=%s outcome=%r restart_in_seconds=%g", self.name, outcome, delay)
            self._stopping.wait(delay)
            self._restarts += 1

    def _failed_to_start(self, outcome: str) -> bool:
        with self._state:
            if self._was_ready:
                return False
            self._start_failure = f"{outcome} before it was ready"
            return True

    def _run_once(self) -> str:
        """What became of one run, in words."""
        try:
            process = self._spawn()
        except OSError as error:
            return f"could not be run ({error})"
        if process is None:
            return "was stopped"
        pump = piped(process, self._log_file)
        exit_code = process.wait()
        # What the child itself had started goes with it, or a crash would leave it behind.
        _kill_group(process.pid)
        pump.finish(_LAST_WORDS_SECONDS)
        return f"exited with code {exit_code}"

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        """A running child; None when the part is being stopped."""
        with self._state:
            if self._stopping.is_set():
                return None
            self.spec.before_start()
            process = self._process = self._run()
        if self._restarts:
            log.info("service.restarted name=%s pid=%s restarts=%s", self.name, process.pid, self._restarts)
            self._on_restart()
        return process

    def _run(self) -> subprocess.Popen[bytes]:
        tether = [sys.executable, "-I", "-S", str(Path(tethered_exec.__file__)), str(os.getpid())]
        return subprocess.Popen(  # noqa: S603  # The command is ours, given as a list.
            [*tether, *self.spec.command],
            env=dict(self.spec.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # What the parts write (Temporal's database) is for their owner only.
            umask=0o077,
        )


def _kill_group(process_group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process_group, signal.SIGKILL)
