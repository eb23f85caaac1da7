"""How a running stack is doing, asked of its parts and not of its supervisor."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cli.embedded.errors import StackNotRunning, SupervisorUnknown, told_as_unusable
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.process_identity import holder_of, started_at
from cli.embedded.stack_record import LOCK_FILE, StackRecord, is_running, read_record
from cli.embedded.waiting import accepts_connections, answers_http

PartState = Literal["ready", "not answering"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One part, as it answered a moment ago."""

    name: str
    state: PartState
    #: As of the latest start or restart of a part.
    pid: int | None
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """A running stack and its parts."""

    data_dir: Path
    record: StackRecord
    parts: tuple[PartStatus, ...]


def stack_status(data_dir: Path) -> StackStatus:
    """Asks every part of the folder's stack whether it works.

    Raises StackNotRunning when there is no stack, and SupervisorUnknown when what there is may be none.
    """
    with told_as_unusable(data_dir):
        if not is_running(data_dir):
            raise StackNotRunning(data_dir=data_dir)
    record = read_record(data_dir)
    if record is None:
        raise SupervisorUnknown(lock_file=data_dir / LOCK_FILE, holder=holder_of(data_dir / LOCK_FILE).pid)
    addresses = {**record.addresses, "postgres": record.addresses.get("database")}
    parts = tuple(
        PartStatus(
            name=name,
            state="ready" if _answers(name, data_dir, addresses.get(name), pid) else "not answering",
            pid=pid,
            address=addresses.get(name),
        )
        for name, pid in record.pids.items()
    )
    return StackStatus(data_dir=data_dir, record=record, parts=parts)


def _answers(name: str, data_dir: Path, address: str | None, pid: int | None) -> bool:
    port = _port_of(address) if address else 0
    questions: dict[str, Callable[[], bool]] = {
        "postgres": lambda: EmbeddedPostgres(data_dir / "postgres").pid is not None,
        "temporal": lambda: accepts_connections(port),
        "model": lambda: answers_http(port, "/health"),
        "api": lambda: answers_http(port, "/ready"),
        "worker": lambda: (data_dir / "worker.ready").exists() and pid is not None and started_at(pid) is not None,
    }
    return name in questions and questions[name]()


def _port_of(address: str) -> int:
    try:
        return urlsplit(address if "://" in address else f"//{address}").port or 0
    except ValueError:
        return 0
