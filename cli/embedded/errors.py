"""What can go wrong with a stack on one machine.

EmbeddedError
├── PortTaken             another program listens where a part should
├── PartFailed            a part did not become ready
├── StackAlreadyRunning   the data folder is in use by a running stack
├── StackNotRunning       there is no stack to talk to
└── StartCancelled        asked to stop before everything was ready
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from agentflow.errors import AgentflowError


class EmbeddedError(AgentflowError):
    """Anything that the embedded stack refuses or fails at."""

    code: ClassVar[str] = "embedded.error"


class PortTaken(EmbeddedError):
    """Another program listens on a port that the stack was told to use."""

    code = "embedded.port_taken"

    def __init__(self, *, port: int, option: str) -> None:
        self.port, self.option = port, option
        super().__init__(f"port {port} on 127.0.0.1 is taken; stop what listens there or choose another with {option}")


class PartFailed(EmbeddedError):
    """A part of the stack did not become ready; `log_tail` holds the last lines that it wrote."""

    code = "embedded.part_failed"

    def __init__(self, *, part: str, reason: str, log_file: Path, log_tail: str) -> None:
        self.part, self.reason, self.log_file, self.log_tail = part, reason, log_file, log_tail
        quoted = f"; its last lines in {log_file}:\n{log_tail}" if log_tail else f"; it wrote nothing to {log_file}"
        super().__init__(f"{part} {reason}{quoted}")


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


class StartCancelled(EmbeddedError):
    """The stack was asked to stop before it was ready; what had started has been stopped."""

    code = "embedded.start_cancelled"

    def __init__(self) -> None:
        super().__init__("the stack was asked to stop before it was ready")
