"""`python -m bench.chaos.armed_process MODULE`: the production process MODULE, which kills itself where it is told.

The file that CHAOS_ARMS names says where, an arm a line. The first one is this process's; it takes it out of the file
right before it dies, so that the process that follows it has the next. Without arms this is MODULE and nothing else.
"""

import os
import runpy
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, WorkflowHandle

from agentflow.database import Database
from agentflow.statements import Rows, Statement
from bench.chaos.transitions import Arm, Moment, read_arm
from runs.map_repository import MapJournal

_SEEN = "chaos_statements"


class Tripwire:
    """Waits for the arm's transition, and ends the process beside it."""

    def __init__(self, file: Path, arm: Arm) -> None:
        self._file, self._arm, self._left = file, arm, arm.nth

    def meet(self, moment: Moment, statements: Iterable[str]) -> None:
        """To be called right before, and right after, something is committed."""
        if moment != self._arm.moment or not any(map(self._arm.transition.pattern.search, statements)):
            return
        self._left -= 1
        if self._left == 0:
            self._die()

    def _die(self) -> None:
        lines = self._file.read_text(encoding="ascii").splitlines()
        following = self._file.with_suffix(".next")
        following.write_text("".join(f"{line}\n" for line in lines[1:]), encoding="ascii")
        following.replace(self._file)
        os.kill(os.getpid(), signal.SIGKILL)


def install(wire: Tripwire) -> None:
    """Lays the wire around every commit of the database, and around what is asked of Temporal."""
    _watch_transactions(wire)
    _watch_flights(wire)
    _watch_requests(wire)


def _watch_transactions(wire: Tripwire) -> None:
    transaction, execute, copy = Database.transaction, AsyncSession.execute, MapJournal.copy

    @asynccontextmanager
    async def watched(self: Database) -> AsyncIterator[AsyncSession]:
        seen: list[str] = []
        async with transaction(self) as session:
            session.info[_SEEN] = seen
            yield session
            wire.meet("before", seen)
        wire.meet("after", seen)

    async def noted(self: AsyncSession, statement: Any, *arguments: Any, **options: Any) -> Any:
        self.info.setdefault(_SEEN, []).append(str(statement))
        return await execute(self, statement, *arguments, **options)

    async def noted_copy(self: MapJournal, **options: Any) -> bool:
        self._session.info.setdefault(_SEEN, []).append("COPY map_items")
        return await copy(self, **options)

    Database.transaction = watched  # type: ignore[method-assign]
    AsyncSession.execute = noted  # type: ignore[method-assign]
    MapJournal.copy = noted_copy  # type: ignore[method-assign]


def _watch_flights(wire: Tripwire) -> None:
    fly = Database.fly

    async def watched(self: Database, statements: Sequence[Statement]) -> list[Rows]:
        seen = [str(statement.clause) for statement in statements]
        wire.meet("before", seen)
        rows = await fly(self, statements)
        wire.meet("after", seen)
        return rows

    Database.fly = watched  # type: ignore[method-assign]


def _watch_requests(wire: Tripwire) -> None:
    start, update, signalled = Client.start_workflow, WorkflowHandle.execute_update, WorkflowHandle.signal

    async def started(self: Client, *arguments: Any, **options: Any) -> Any:
        wire.meet("before", ["start_workflow"])
        handle: Any = await start(self, *arguments, **options)
        wire.meet("after", ["start_workflow"])
        return handle

    async def updated(self: WorkflowHandle[Any, Any], *arguments: Any, **options: Any) -> Any:
        wire.meet("before", ["send_update"])
        result: Any = await update(self, *arguments, **options)
        wire.meet("after", ["send_update"])
        return result

    async def signal_sent(self: WorkflowHandle[Any, Any], *arguments: Any, **options: Any) -> None:
        wire.meet("before", ["send_signal"])
        await signalled(self, *arguments, **options)
        wire.meet("after", ["send_signal"])

    Client.start_workflow = started  # type: ignore[method-assign]
    WorkflowHandle.execute_update = updated  # type: ignore[method-assign]
    WorkflowHandle.signal = signal_sent  # type: ignore[method-assign]


def main() -> None:
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    file = Path(os.environ["CHAOS_ARMS"])
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    if lines:
        install(Tripwire(file, read_arm(lines[0])))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
