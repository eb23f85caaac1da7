"""What can go wrong with a stack on one machine.

EmbeddedError
├── PortTaken             another program listens where a part should
├── PortForbidden         this user may not listen there
├── FolderUnusable        a file or folder of the stack cannot serve as it is
├── PartFailed            a part did not become ready
├── StackAlreadyRunning   the data folder is in use by a running stack
├── StackNotRunning       there is no stack to talk to
├── SupervisorUnknown     something holds the folder's lock, and it is not sure to be a stack
└── StartCancelled        asked to stop before everything was ready
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from agentflow.errors import AgentflowError
from cli.embedded.mends import mend_for_log, mend_for_system_error


class EmbeddedError(AgentflowError):
    """Anything that the embedded stack refuses or fails at."""

    code: ClassVar[str] = "embedded.error"


class PortTaken(EmbeddedError):
    """Another program listens on a port that the stack was told to use."""

    code = "embedded.port_taken"

    def __init__(self, *, port: int, option: str) -> None:
        self.port, self.option = port, option
        super().__init__(
            f"port {port} on 127.0.0.1 is taken; stop what listens there or choose another with {option} "
            f"(with make: {make_variable(option)}={port + 1}); 0 takes a free one"
        )


class PortForbidden(EmbeddedError):
    """The operating system keeps the port for others."""

    code = "embedded.port_forbidden"

    def __init__(self, *, port: int, option: str) -> None:
        self.port, self.option = port, option
        super().__init__(
            f"this user may not listen on port {port}; choose one above 1023 with {option} "
            f"(with make: {make_variable(option)}={port + 8000}); 0 takes a free one"
        )


class FolderUnusable(EmbeddedError):
    """A file or folder of the stack is not what it should be, and only a person can say what is to become of it."""

    code = "embedded.folder_unusable"

    def __init__(self, *, path: Path, reason: str, mend: str) -> None:
        self.path, self.reason, self.mend = path, reason, mend
        super().__init__(f"{path} {reason}: {mend}")


class PartFailed(EmbeddedError):
    """A part of the stack did not become ready; `log_tail` holds the last lines that it wrote."""

    code = "embedded.part_failed"

    def __init__(self, *, part: str, reason: str, log_file: Path, log_tail: str) -> None:
        self.part, self.reason, self.log_file, self.log_tail = part, reason, log_file, log_tail
        mend = mend_for_log(f"{reason}\n{log_tail}")
        advice = f"; {mend}" if mend is not None else ""
        quoted = f"; its last lines in {log_file}:\n{log_tail}" if log_tail else f"; it wrote nothing to {log_file}"
        super().__init__(f"{part} {reason}{advice}{quoted}")


class StackAlreadyRunning(EmbeddedError):
    """The data folder belongs to a stack that is running."""

    code = "embedded.already_running"

    def __init__(self, *, data_dir: Path, addresses: Mapping[str, str]) -> None:
        self.data_dir, self.addresses = data_dir, dict(addresses)
        lines = "".join(f"\n  {name}: {address}" for name, address in self.addresses.items())
        super().__init__(
            f"a stack is already running in {data_dir}; use it, stop it with `agentctl dev stop`, "
            f"or choose another folder with --data-dir{lines}"
        )


class StackNotRunning(EmbeddedError):
    """No stack is running in the data folder."""

    code = "embedded.not_running"

    def __init__(self, *, data_dir: Path) -> None:
        self.data_dir = data_dir
        super().__init__(f"no stack is running in {data_dir}; start one with `agentctl dev`")


class SupervisorUnknown(EmbeddedError):
    """A process holds the folder's lock and is not surely the supervisor that the record names: it is left alone."""

    code = "embedded.supervisor_unknown"

    def __init__(self, *, lock_file: Path, holder: int | None) -> None:
        self.lock_file, self.holder = lock_file, holder
        who = f"process {holder}" if holder is not None else "a process"
        find = f"see `ps -fp {holder}`" if holder is not None else f"find it with `fuser -v {lock_file}`"
        super().__init__(
            f"{who} holds {lock_file}, but stack.json beside it does not say that it is this folder's stack; "
            f"{find}, and end it with `kill` when it is one of yours"
        )


class StartCancelled(EmbeddedError):
    """The stack was asked to stop before it was ready; what had started has been stopped."""

    code = "embedded.start_cancelled"

    def __init__(self) -> None:
        super().__init__("the stack was asked to stop before it was ready")


def make_variable(option: str) -> str:
    """How `make up` and `make demo` take an option of the command."""
    return option.removeprefix("--").replace("-", "_").upper()


@contextmanager
def told_as_unusable(folder: Path) -> Iterator[None]:
    """An edge: errors of the operating system, about files of the stack in `folder`, become FolderUnusable."""
    try:
        yield
    except OSError as error:
        path = Path(error.filename) if isinstance(error.filename, str) else folder
        reason = f"cannot be used ({error.strerror or error})"
        raise FolderUnusable(path=path, reason=reason, mend=mend_for_system_error(error)) from error
