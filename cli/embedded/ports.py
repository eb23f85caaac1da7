"""Which ports the stack listens on; zero means any free one."""

import errno
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.errors import PortForbidden, PortTaken
from cli.embedded.waiting import LOOPBACK

#: Linux takes the ports of outgoing connections from here (ip-sysctl, "ip_local_port_range"): two numbers.
_OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT, _TRIES = 10_000, 20


#: Where people look for a part first; a free port, where another program listens there.
USUAL_PORTS: Mapping[str, int] = {"api": 8080, "temporal": 7233, "ui": 8233}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPorts:
    """The stack's ports on 127.0.0.1: zero asks for a free one, None for the usual one or else a free one."""

    api: int | None = None
    #: Temporal's gRPC frontend.
    temporal: int | None = None
    #: Temporal's Web UI.
    ui: int | None = None
    model: int | None = None

    @classmethod
    def any_free(cls) -> "StackPorts":
        """Free ports only, for tests and for stacks side by side."""
        return cls(api=0, temporal=0, ui=0, model=0)

    def resolve(self) -> "ResolvedPorts":
        """A port for each part, free at this moment.

        Raises PortTaken, naming the command's option, for a port that was asked for and that another program listens
        on, and PortForbidden for one that the system keeps from this user.
        """
        wanted = {"api": self.api, "temporal": self.temporal, "ui": self.ui, "model": self.model}
        with ExitStack() as held:
            # All are held until all are known, so that no two of them come out equal; those first that were asked for.
            found = {
                name: _reserve(held, port, f"--{name}-port")
                for name, port in sorted(wanted.items(), key=lambda entry: not entry[1])
            }
        return ResolvedPorts(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPorts:
    """A port for each part."""

    api: int
    temporal: int
    ui: int
    model: int


def moved_ports(wanted: StackPorts, addresses: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """The parts whose port was left open and whose usual one was taken: name, that port, the port instead."""
    asked = {"api": wanted.api, "temporal": wanted.temporal, "ui": wanted.ui}
    found = {"api": addresses.get("api"), "temporal": addresses.get("temporal"), "ui": addresses.get("temporal_ui")}
    ports = {name: int(address.rpartition(":")[2]) for name, address in found.items() if address is not None}
    return [
        (name, usual, ports[name])
        for name, usual in USUAL_PORTS.items()
        if asked[name] is None and ports.get(name, usual) != usual
    ]


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on at this moment."""
    with ExitStack() as held:
        return _reserve(held, 0, "")


def _reserve(held: ExitStack, port: int | None, option: str) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    usual = USUAL_PORTS.get(option.removeprefix("--").removesuffix("-port")) if port is None else None
    if usual is not None:
        with suppress(OSError):
            return _bind_named(listener, usual)
        listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    if not port:
        return _bind_free(listener)
    try:
        return _bind_named(listener, port)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise PortForbidden(port=port, option=option) from error
        raise PortTaken(port=port, option=option) from error


def _bind_named(listener: socket.socket, port: int) -> int:
    # Connections of a server that has just gone (TIME_WAIT) do not make its port taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    # So that the same port cannot be bound in this way again.
    listener.listen(1)
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
