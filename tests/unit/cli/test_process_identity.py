"""Whose a process id is: another program's, a thread's, a zombie's."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli.embedded.postgres_processes import find_server, is_server_of, named_server, orphans_of
from cli.embedded.process_identity import holder_of, started_at
from cli.embedded.waiting import wait_until

SLEEP = "/bin/sleep"


@contextmanager
def running(*command: str, cwd: Path | None = None, executable: str | None = None) -> Iterator[int]:
    with subprocess.Popen(command, cwd=cwd, executable=executable) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def zombie() -> Iterator[int]:
    """A process that has ended and that nobody has asked about yet."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, timeout_seconds=20)
    yield process.pid
    process.wait()


@pytest.fixture
def thread() -> Iterator[int]:
    """The number of a thread of this process, which is not its first."""
    over = threading.Event()
    running = threading.Thread(target=over.wait)
    running.start()
    assert running.native_id is not None
    yield running.native_id
    over.set()
    running.join()


def test_the_same_number_with_another_start_is_another_process(zombie: int, thread: int) -> None:
    ours, another = started_at(os.getpid()), started_at(1)

    assert ours is not None
    assert ours != another
    assert ours == started_at(os.getpid())
    assert (None, None, None) == (started_at(zombie), started_at(thread), started_at(2**22))


def write_pid(folder: Path, pid: int) -> None:
    (folder / "postmaster.pid").write_text(f"{pid}\n{folder}\n1764590000\n5432\n{folder}\n\n 1 1\nready\n")


def test_a_number_that_is_not_a_servers_names_none(tmp_path: Path, zombie: int, thread: int) -> None:
    for pid in (os.getpid(), os.getppid(), 1, 2**22, zombie, thread):
        write_pid(tmp_path, pid)
        assert named_server(tmp_path) is None, pid


def test_another_program_that_calls_itself_the_server_is_none(tmp_path: Path) -> None:
    write_pid(tmp_path, 2)
    # Neither by its command line, nor by where it works, nor both.
    with running("postgres", "60", executable=SLEEP, cwd=tmp_path) as pid:
        write_pid(tmp_path, pid)
        assert named_server(tmp_path) is None
        assert find_server(tmp_path) is None
        assert [] == list(orphans_of(tmp_path))


def test_a_server_of_another_folder_is_not_this_ones(tmp_path: Path) -> None:
    program, other = tmp_path / "postgres", tmp_path / "other"
    other.mkdir()
    # As like a server as can be: a program of that name that was told a folder.
    program.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    program.chmod(0o700)
    with running(str(program), "-D", str(other)) as pid:
        process = psutil.Process(pid)
        assert wait_until(lambda: str(other) in process.cmdline(), timeout_seconds=20)

        assert not is_server_of(process, tmp_path)


def test_the_holder_of_a_lock_is_told_by_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "stack.lock"
    absent = holder_of(file)
    with file.open("w") as opened:
        free = holder_of(file)
        fcntl.flock(opened, fcntl.LOCK_EX)
        held = holder_of(file)

    assert (None, None) == (absent.pid, free.pid)
    assert os.getpid() == held.pid
