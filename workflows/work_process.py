"""A process that works for whoever started it: one call at a time, and it can be killed in the middle of one.

Over its standard streams go pickles, each after its length: a function with its arguments, and what became of it. The
function is one of ours and its arguments are data; nothing that a stranger sends is unpickled anywhere.
"""

import asyncio
import contextlib
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Self, TypeVar

from agentflow.errors import AgentflowError

_Result = TypeVar("_Result")

_LENGTH = struct.Struct(">Q")
#: All that the process gets of this one's environment, which holds keys.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_NICENESS = 5
_MEMORY_BYTES = 2 * 1024**3
#: What a process ends with that has used its time, or has no more memory.
_NO_MEMORY = 3
_LIMIT_CODES = frozenset({-signal.SIGPROF, _NO_MEMORY})


class WorkProcessEnded(Exception):
    """The process ended in the middle of a call."""

    def __init__(self, *, by_its_limits: bool) -> None:
        #: True where the call took its time or memory; False where somebody killed the process, or it broke.
        self.by_its_limits = by_its_limits
        super().__init__("the work process ended")


class WorkProcessSlow(Exception):
    """No answer came in time, though the process has not used its CPU time: the machine is busy."""


class WorkProcess:
    """The process, as the one that started it sees it."""

    def __init__(self, process: asyncio.subprocess.Process, *, wall_seconds: float) -> None:
        self._process, self._wall_seconds = process, wall_seconds

    @classmethod
    async def start(cls, *, cpu_seconds: float, wall_seconds: float) -> Self:
        """A process in which each call has so much CPU time, and is waited for so long."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "workflows.work_process", str(cpu_seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        )
        return cls(process, wall_seconds=wall_seconds)

    @property
    def has_ended(self) -> bool:
        """Whether it can be asked no more."""
        return self._process.returncode is not None

    async def call(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """What the function returns there; raises what it raises of our errors, and the two above."""
        reader, writer = self._process.stdout, self._process.stdin
        if reader is None or writer is None:
            raise WorkProcessEnded(by_its_limits=False)
        try:
            async with asyncio.timeout(self._wall_seconds):
                content = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
                # Apart: put together, what is large would be copied once more.
                writer.write(_LENGTH.pack(len(content)))
                writer.write(content)
                await writer.drain()
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                kind, value = pickle.loads(await reader.readexactly(length))  # noqa: S301  # Our own process wrote it.
        except TimeoutError as error:
            raise WorkProcessSlow from error
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            await self.end()
            raise WorkProcessEnded(by_its_limits=self._process.returncode in _LIMIT_CODES) from error
        if kind == "error":
            raise _error_of(*value)
        if kind == "defect":
            raise RuntimeError(f"the work process failed: {value}")
        result: _Result = value
        return result

    async def end(self) -> None:
        """Kills the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _error_of(error_class: type[AgentflowError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> AgentflowError:
    """The error with its facts; its constructor takes these in ways of its own."""
    error = error_class.__new__(error_class, *arguments)
    error.__dict__.update(facts)
    return error


def _answer(content: bytes, cpu_seconds: float) -> tuple[str, Any]:
    function, arguments = pickle.loads(content)  # noqa: S301  # The process that started this one wrote it.
    # The signal of this timer ends the process, whatever it is in.
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        return "value", function(*arguments)
    except AgentflowError as error:
        return "error", (type(error), error.args, error.__dict__)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # The edge to the other process, which tells of it.
        return "defect", repr(error)[:2_000]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _serve(questions: BinaryIO, answers: BinaryIO, cpu_seconds: float) -> None:
    while len(header := questions.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(header)
        content = pickle.dumps(_answer(questions.read(length), cpu_seconds), protocol=pickle.HIGHEST_PROTOCOL)
        answers.write(_LENGTH.pack(len(content)) + content)
        answers.flush()


def main() -> None:
    """Answers calls until its standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whoever waits for a moment's answer comes first.
    os.nice(_NICENESS)
    # Whoever started this one ends it; a terminal's interrupt goes to both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _serve(sys.stdin.buffer, answers, float(sys.argv[1]))
    except MemoryError:
        os._exit(_NO_MEMORY)


if __name__ == "__main__":
    main()
