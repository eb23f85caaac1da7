"""Runs a stack until it is told to stop: in the foreground of `agentctl dev`, or behind `agentctl dev --detach`.

`python -m cli.embedded.supervisor OPTIONS` is the form that runs in the background; OPTIONS is JSON.
"""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from agentflow.errors import AgentflowError
from agentflow.process_exit import exit_process
from cli.embedded.errors import StartCancelled, told_as_unusable
from cli.embedded.log_file import ROTATE_ABOVE_BYTES
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What a stack is to be."""

    data_dir: Path
    ports: StackPorts = field(default_factory=StackPorts)
    with_model: bool = True
    with_services: bool = True

    def to_json(self) -> str:
        """The form that the background supervisor takes."""
        return json.dumps({**asdict(self), "data_dir": str(self.data_dir)})

    @classmethod
    def from_json(cls, text: str) -> "StackOptions":
        """The inverse of `to_json`."""
        document = json.loads(text)
        return cls(
            data_dir=Path(document["data_dir"]),
            ports=StackPorts(**document["ports"]),
            with_model=document["with_model"],
            with_services=document["with_services"],
        )


def supervise(options: StackOptions, *, when_ready: Callable[[EmbeddedStack], None] = lambda _: None) -> None:
    """Starts the stack, calls `when_ready`, and stops it when SIGINT, SIGTERM or SIGHUP arrives.

    A signal that arrives during the start ends it as well. Raises what EmbeddedStack.start raises, but for
    StartCancelled: being asked to stop is no failure. To be called in the main thread.
    """
    stack = EmbeddedStack(
        options.data_dir, options.ports, with_model=options.with_model, with_services=options.with_services
    )
    stop_requested = _on_stop_signal(stack.cancel_start)
    try:
        stack.start()
    except StartCancelled:
        return
    try:
        when_ready(stack)
        stop_requested.wait()
    finally:
        stack.stop()


def _on_stop_signal(action: Callable[[], None]) -> threading.Event:
    """An event that is set, after `action` was called, when the first stop signal arrives; later ones do nothing.

    Handlers only write to a pipe. An Event may not be set inside one: the thread that the handler interrupts may
    hold the event's lock.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    requested = threading.Event()

    def wait_for_signal() -> None:
        os.read(read_end, 1)
        action()
        requested.set()

    threading.Thread(target=wait_for_signal, name="stop-signals", daemon=True).start()
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: _wake(write_end))
    return requested


def _wake(write_end: int) -> None:
    try:
        os.write(write_end, b"!")
    except BlockingIOError:
        # So many signals that the pipe is full: the message has long arrived.
        return


def configure_logging(*, quiet: bool = False, log_file: Path | None = None) -> None:
    """The supervisor's own log, on stderr or in a file that is rotated; a quiet one tells of trouble only."""
    level = logging.WARNING if quiet else logging.INFO
    to_stderr = logging.StreamHandler(sys.stderr)
    rotated = RotatingFileHandler(log_file, maxBytes=ROTATE_ABOVE_BYTES, backupCount=1) if log_file else None
    logging.basicConfig(handlers=[rotated or to_stderr], level=level, format="%(asctime)s %(levelname)s %(message)s")
    # Alembic reports every migration context; the stack's log is about its parts.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def main() -> None:
    """The background form: exit code 0 after a stop, 1 with the reason on stderr when the stack did not start."""
    options = StackOptions.from_json(sys.argv[1])
    try:
        with told_as_unusable(options.data_dir):
            configure_logging(log_file=options.data_dir / "logs" / "supervisor.log")
        supervise(options)
    except AgentflowError as error:
        print(error, file=sys.stderr)
        exit_process(1)
    exit_process(0)


if __name__ == "__main__":
    main()
