import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(program: str, *, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    source = f"from agentflow.process_exit import exit_process\n{program}"
    #: Output is kept until it is flushed, whatever the surroundings say.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_process_ends_with_the_code_and_with_all_that_it_wrote(exit_code: int) -> None:
    ended = run(
        "import sys\n"
        "sys.stdout.write('out' * 10_000)\n"
        "sys.stderr.write('err')\n"
        f"exit_process({exit_code})\n"
        "print('never')\n"
    )

    assert (exit_code, b"out" * 10_000, b"err") == (ended.returncode, ended.stdout, ended.stderr)


def test_a_process_ends_without_the_interpreters_own_teardown() -> None:
    ended = run(
        "import atexit, threading\n"
        "atexit.register(print, 'teardown')\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "exit_process(0)\n"
    )

    assert (0, b"") == (ended.returncode, ended.stdout)


def test_buffered_log_records_are_written_before_the_end() -> None:
    ended = run(
        "import logging, logging.handlers, sys\n"
        "target = logging.StreamHandler(sys.stdout)\n"
        "memory = logging.handlers.MemoryHandler(100, flushLevel=logging.CRITICAL, target=target)\n"
        "logging.getLogger().addHandler(memory)\n"
        "logging.getLogger().warning('kept')\n"
        "exit_process(0)\n"
    )

    assert b"kept\n" == ended.stdout


def test_a_reader_that_has_gone_does_not_change_the_code() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = run("print('to no one')\nexit_process(5)\n", stdout=writing)
    finally:
        os.close(writing)

    assert (5, b"") == (ended.returncode, ended.stderr)


def test_a_stream_that_is_closed_does_not_change_the_code() -> None:
    ended = run("import sys\nsys.stdout.close()\nsys.stderr.write('told')\nexit_process(5)\n")

    assert (5, b"told") == (ended.returncode, ended.stderr)
