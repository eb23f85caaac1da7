"""Which ports the stack listens on; zero means any free one."""

import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.errors import PortTaken
from cli.embedded.waiting import LOOPBACK

#: Linux takes the ports of outgoing connections from here (ip-sysctl, "ip_local_port_range"): two numbers.
_OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT, _TRIES = 10_000, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPorts:
    """The stack's ports on 127.0.0.1; zero asks for a free one."""

    api: int = 8080
    #: Temporal's gRPC frontend.
    temporal: int = 7233
    #: Temporal's Web UI.
    ui: int = 8233
    model: int = 0

    @classmethod
    def any_free(cls) -> "StackPorts":
        """Free ports only, for tests and for stacks side by side."""
        return cls(api=0, temporal=0, ui=0, model=0)

    def resolve(self) -> "StackPorts":
        """The same ports with every zero replaced by a free port.

        Raises PortTaken, naming the command's option, for a port that another program listens on.
        """
        with ExitStack() as held:
            # All are held until all are known, so that no two of them come out equal.
            return StackPorts(
                api=_reserve(held, self.api, "--api-port"),
                temporal=_reserve(held, self.temporal, "--temporal-port"),
                ui=_reserve(held, self.ui, "--ui-port"),
                model=_reserve(held, self.model, "--model-port"),
            )


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on at this moment."""
    with ExitStack() as held:
        return _reserve(held, 0, "")


def _reserve(held: ExitStack, port: int, option: str) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    if not port:
        return _bind_free(listener)
    # Connections of a server that has just gone (TIME_WAIT) do not make its port taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        raise PortTaken(port=port, option=option) from error
    return port


def _bind_free(listener: socket.socket) -> int:
    for port in _quiet_ports():
        with suppress(OSError):
            listener.bind((LOOPBACK, port))
            return port
    listener.bind((LOOPBACK, 0))
    bound: int = listener.getsockname()[1]
    return bound


def _quiet_ports() -> Sequence[int]:
    """Some ports that no outgoing connection takes before the one that they are meant for listens; none if unknown."""
    try:
        first_outgoing = int(_OUTGOING_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return ()
    quiet = range(_FIRST_PORT, first_outgoing)
    return secrets.SystemRandom().sample(quiet, _TRIES) if len(quiet) > _TRIES else ()
