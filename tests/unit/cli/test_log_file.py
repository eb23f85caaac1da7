import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from cli.embedded import log_file
from cli.embedded.log_file import LogFile, piped
from cli.embedded.waiting import wait_until


def test_the_tail_is_the_last_twenty_lines_of_the_latest_run(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "part.log")
    with log.open_for_run() as output:
        output.write(b"of an earlier run\n")
    with log.open_for_run() as output:
        output.writelines(f"line {number}\n".encode() for number in range(30))

    assert [f"line {number}" for number in range(10, 30)] == log.tail().splitlines()


def test_a_run_that_wrote_nothing_has_an_empty_tail(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    with log.open_for_run() as output:
        output.write(b"of an earlier run\n")
    log.open_for_run().close()

    assert not log.tail()


def test_a_part_that_never_ran_has_an_empty_tail(tmp_path: Path) -> None:
    assert not LogFile(tmp_path / "part.log").tail()


def test_a_file_that_grew_too_large_makes_way_for_a_fresh_one(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    LogFile(path).open_for_run().close()

    assert path.stat().st_size == 0
    assert (tmp_path / "part.log.1").stat().st_size == 16 * 1024 * 1024 + 1


def test_bytes_that_are_no_text_are_quoted_all_the_same(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    with log.open_for_run() as output:
        output.write(b"before \xff after\n")

    assert log.tail() == "before � after"


def pumped(log: LogFile, program: str) -> None:
    """Runs a Python program whose output goes to the log."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        pump = piped(process, log)
        assert 0 == process.wait(60)
        pump.finish(60)


def test_a_log_is_rotated_between_two_lines_while_its_part_runs_and_stays_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", rotate_above_bytes=100_000)

    pumped(log, "for number in range(20_000): print(f'line {number:05}')")

    files = [tmp_path / "part.log.1", tmp_path / "part.log"]
    kept = [line for file in files for line in file.read_text(encoding="ascii").splitlines()]
    assert [f"line {number:05}" for number in range(20_000 - len(kept), 20_000)] == kept
    # A read of the pipe more than the bound, at most.
    assert all(file.stat().st_size <= 100_000 + 128 * 1024 for file in files)
    assert ["part.log", "part.log.1"] == sorted(file.name for file in tmp_path.iterdir())


def test_nothing_is_lost_when_a_log_is_rotated_once(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", rotate_above_bytes=150_000)

    pumped(log, "for number in range(20_000): print(f'line {number:05}')")

    kept = [line for name in ("part.log.1", "part.log") for line in (tmp_path / name).read_text().splitlines()]
    assert [f"line {number:05}" for number in range(20_000)] == kept


def test_a_line_without_an_end_and_one_that_is_very_long_are_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")

    pumped(log, "import sys; sys.stdout.write('x' * 300_000 + '\\n' + 'the last')")

    assert "x" * 300_000 + "\nthe last" == (tmp_path / "part.log").read_text(encoding="ascii")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_part_runs_on_without_its_log_where_something_else_lies(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "part.log")

    pumped(LogFile(tmp_path / "part.log"), "for number in range(20_000): print(number)")

    assert not LogFile(tmp_path / "part.log").tail()


def test_what_a_full_disk_did_not_take_is_counted_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, full = LogFile(tmp_path / "part.log"), [True]
    write_all = log_file._write_all

    def written(file: BinaryIO, content: bytes) -> None:
        if full[0]:
            full[0] = False
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(file, content)

    monkeypatch.setattr("cli.embedded.log_file._write_all", written)
    program = "import sys, time; print('lost', flush=True); sys.stdin.readline(); print('kept')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        pump = piped(process, log)
        assert process.stdin is not None
        assert wait_until(lambda: not full[0], timeout_seconds=20)
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait(20)
        pump.finish(20)

    assert "[5 bytes could not be written here]\nkept\n" == (tmp_path / "part.log").read_text(encoding="ascii")
