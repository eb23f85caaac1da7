"""Compiled modules on disk: Python takes seconds to compile, and less than a millisecond to load.

Loading machine code is running it, so a file is loaded only from a folder that nobody else can write to, and
only when it still is what was stored: after a crash of the machine a file may be there and not be whole.

Each organisation has a share of its own: what it compiles neither makes another's modules leave nor is found there.
"""

import asyncio
import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from activities.sandbox.compile_turns import CompileTurns
from activities.sandbox.engine import compiled_name
from activities.sandbox.errors import ModuleInvalid
from activities.sandbox.module_compiler import NOT_VALID
from agentflow.digest import sha256_hex
from agentflow.errors import ConfigurationError
from observability.telemetry.logging import get_logger

_log = get_logger(__name__)

#: Strangers' modules come and go: the least recently used of an organisation leave when it has more, and of the
#: organisation that has the most when all have more.
MOST_FILES_OF_ORGANISATION = 16
MOST_FILES = 64
#: The interpreters' share, to which no stranger adds: a few versions of each stay.
_INTERPRETERS = "interpreter"
_MOST_INTERPRETERS = 8
_DRAFT = ".draft-"
#: A draft that is older was left by a process that died.
_DRAFT_SECONDS = 3600.0
COMPILE_TIMEOUT_SECONDS = 120.0
#: Of all the compiler's threads together. Python, the largest there is, takes 10; a module has a third of its size.
_INTERPRETER_PROCESSOR_SECONDS, MODULE_PROCESSOR_SECONDS = 80, 20
#: All that the compiler gets of the worker's environment, which holds keys.
_COMPILER_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_LONGEST_REASON = 1000

_Identity = tuple[int, int, int]


class CompiledModules:
    """A private folder of compiled modules, one file for each, with its digest in a file beside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turns = CompileTurns()
        self._checked: dict[Path, _Identity] = {}

    async def path_of(self, module_digest: str, read_module: Callable[[], bytes], *, org_id: str | None) -> Path:
        """A file that can be loaded; compiles what `read_module` gives when there is none.

        `org_id` says whose module it is; None stands for an interpreter of ours.

        Raises ModuleInvalid, and ConfigurationError when the folder is not ours alone or cannot be written.
        """
        path, is_ours = self._path(module_digest, org_id), org_id is None
        if await asyncio.to_thread(self._is_usable, path):
            return path
        async with self._turns.turn(_share_of(path), is_first=is_ours):
            if not await asyncio.to_thread(self._is_usable, path):
                seconds = _INTERPRETER_PROCESSOR_SECONDS if is_ours else MODULE_PROCESSOR_SECONDS
                compiled = await _compile(await asyncio.to_thread(read_module), processor_seconds=seconds)
                await asyncio.to_thread(self._store, path, compiled)
        return path

    def forget(self, module_digest: str, *, org_id: str | None) -> None:
        """Removes a file that could not be loaded after all, so that it is made anew."""
        path = self._path(module_digest, org_id)
        self._checked.pop(path, None)
        path.unlink(missing_ok=True)

    def _path(self, module_digest: str, org_id: str | None) -> Path:
        share = _INTERPRETERS if org_id is None else sha256_hex(org_id.encode())[:32]
        return self._directory / f"{share}-{compiled_name(module_digest)}.cwasm"

    def _is_usable(self, path: Path) -> bool:
        self._require_private_directory()
        try:
            status = path.lstat()
            # The time of use alone, by which room is made: the time of writing belongs to the identity.
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns), follow_symlinks=False)
            if self._checked.get(path) == _identity(status):
                return True
            is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
            if not is_ours or _digest_file(path).read_text(encoding="ascii") != _sha256_of(path):
                _log.warning("sandbox.compiled_module_rejected", name=path.name)
                return False
        except (FileNotFoundError, UnicodeDecodeError):
            return False
        self._checked[path] = _identity(status)
        return True

    def _require_private_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._directory.lstat()
        except OSError as error:
            raise ConfigurationError(
                f"the sandbox's cache {str(self._directory)!r} cannot be made ({error.strerror}); "
                "set SANDBOX_CACHE_DIRECTORY to a folder that this process may write to"
            ) from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ConfigurationError(
                f"the sandbox's cache {str(self._directory)!r} holds machine code, and others may change it; "
                "give the folder to this process's user and take all rights of others away (chmod 700), "
                "or set SANDBOX_CACHE_DIRECTORY to another"
            )

    def _store(self, path: Path, compiled: bytes) -> None:
        try:
            self._write(_digest_file(path), hashlib.sha256(compiled).hexdigest().encode())
            self._write(path, compiled)
        except OSError as error:
            raise ConfigurationError(
                f"the sandbox's cache {str(self._directory)!r} cannot be written ({error.strerror}); "
                "make room, or set SANDBOX_CACHE_DIRECTORY to another folder"
            ) from error
        self._make_room()

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, draft = tempfile.mkstemp(dir=self._directory, prefix=_DRAFT)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        """Removes the least recently used; one that another process is about to load is compiled again there."""
        used: list[tuple[float, Path]] = []
        for path in self._directory.glob("*.cwasm"):
            with contextlib.suppress(FileNotFoundError):
                used.append((path.stat().st_atime, path))
        for path in surplus_of(path for _, path in sorted(used)):
            path.unlink(missing_ok=True)
            _digest_file(path).unlink(missing_ok=True)
            self._checked.pop(path, None)
        for draft in self._directory.glob(f"{_DRAFT}*"):
            with contextlib.suppress(FileNotFoundError):
                if draft.stat().st_mtime < time.time() - _DRAFT_SECONDS:
                    draft.unlink()


def surplus_of(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths`, least recently used first, that have to leave for each share to keep to its size."""
    shares: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        shares[_share_of(path)].append(path)
    surplus = shares.pop(_INTERPRETERS, [])[:-_MOST_INTERPRETERS]
    for files in shares.values():
        surplus += files[:-MOST_FILES_OF_ORGANISATION]
        del files[:-MOST_FILES_OF_ORGANISATION]
    for _ in range(len(list(chain(*shares.values()))) - MOST_FILES):
        surplus.append(max(shares.values(), key=len).pop(0))
    return surplus


async def _compile(module: bytes, *, processor_seconds: int) -> bytes:
    """Machine code, made in a process of its own; raises ModuleInvalid."""
    compiler = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "activities.sandbox.module_compiler", str(processor_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={key: os.environ[key] for key in _COMPILER_ENVIRONMENT if key in os.environ},
    )
    try:
        async with asyncio.timeout(COMPILE_TIMEOUT_SECONDS):
            compiled, complaint = await compiler.communicate(module)
    except TimeoutError:
        raise ModuleInvalid(reason=f"compiling it took over {COMPILE_TIMEOUT_SECONDS:g} s") from None
    finally:
        if compiler.returncode is None:
            compiler.kill()
            await compiler.wait()
    if compiler.returncode == NOT_VALID:
        raise ModuleInvalid(reason=complaint.decode("utf-8", errors="replace")[:_LONGEST_REASON])
    if compiler.returncode != 0:
        raise ModuleInvalid(reason=f"the compiler ended with {compiler.returncode}; the module is too large for it")
    return compiled


def _share_of(path: Path) -> str:
    return path.name.partition("-")[0]


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
