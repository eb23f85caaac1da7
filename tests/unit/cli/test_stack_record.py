import fcntl
import json
import os
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cli.embedded.background import stop_running
from cli.embedded.errors import StackAlreadyRunning, SupervisorUnknown
from cli.embedded.process_identity import started_at
from cli.embedded.stack_record import StackLock, StackRecord, is_running, read_record, supervisor_of
from cli.embedded.stack_status import stack_status

RECORD = StackRecord(
    state="ready", supervisor_pid=4711, addresses={"api": "http://127.0.0.1:8080"}, pids={"api": 12, "worker": None}
)


def test_a_record_reads_back_as_it_was_written_for_its_owner_only(tmp_path: Path) -> None:
    RECORD.write(tmp_path)

    assert read_record(tmp_path) == RECORD
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_a_folder_without_a_stack_has_no_record_and_none_running(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert not is_running(tmp_path)


def test_the_second_holder_is_refused_with_the_addresses_of_the_first(tmp_path: Path) -> None:
    first = StackLock(tmp_path)
    first.acquire()
    RECORD.write(tmp_path)

    with pytest.raises(StackAlreadyRunning) as refusal:
        StackLock(tmp_path).acquire()
    was_running = is_running(tmp_path)
    first.release()

    assert RECORD.addresses == refusal.value.addresses
    assert "http://127.0.0.1:8080" in str(refusal.value)
    assert was_running


def test_a_released_folder_has_no_record_and_can_be_taken_again(tmp_path: Path) -> None:
    first, second = StackLock(tmp_path), StackLock(tmp_path)
    first.acquire()
    RECORD.write(tmp_path)
    first.release()

    second.acquire()
    second.release()

    assert read_record(tmp_path) is None
    assert not is_running(tmp_path)


def test_taking_the_lock_removes_the_record_of_a_stack_that_was_killed(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    lock = StackLock(tmp_path)

    lock.acquire()
    found = read_record(tmp_path)
    lock.release()

    assert found is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00\xff",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        json.dumps({**asdict(RECORD), "supervisor_pid": "4711"}).encode(),
        json.dumps({**asdict(RECORD), "supervisor_pid": -1}).encode(),
        json.dumps({**asdict(RECORD), "supervisor_pid": True}).encode(),
        json.dumps({**asdict(RECORD), "addresses": ["api"]}).encode(),
        json.dumps({**asdict(RECORD), "addresses": {"api": 1}}).encode(),
        json.dumps({**asdict(RECORD), "pids": None}).encode(),
        json.dumps({**asdict(RECORD), "state": "sleeping"}).encode(),
    ],
)
def test_a_record_that_is_none_is_no_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stack.json").write_bytes(content)

    assert read_record(tmp_path) is None


def test_a_record_of_a_later_version_is_read_for_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({**asdict(RECORD), "more": 1}))

    assert RECORD == read_record(tmp_path)


def test_the_supervisor_is_who_holds_the_lock_and_is_named_in_the_record(tmp_path: Path) -> None:
    lock = StackLock(tmp_path)
    lock.acquire()
    replace(RECORD, supervisor_pid=os.getpid(), supervisor_started_at=started_at(os.getpid())).write(tmp_path)
    found = supervisor_of(tmp_path)
    lock.release()

    assert os.getpid() == found


def test_no_process_is_stopped_that_is_not_surely_the_supervisor(tmp_path: Path) -> None:
    program = "import signal; signal.pause()"
    with (
        subprocess.Popen([sys.executable, "-c", program]) as foreign,
        (tmp_path / "stack.lock").open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        named = replace(RECORD, supervisor_pid=foreign.pid)
        records = [
            named,
            # A number that was given to another program since.
            replace(named, supervisor_started_at=(started_at(foreign.pid) or 0) - 1),
            # A process that runs, and is not the one that holds the lock.
            replace(named, supervisor_started_at=started_at(foreign.pid)),
        ]
        refusals = []
        for record in records:
            record.write(tmp_path)
            with pytest.raises(SupervisorUnknown) as refusal:
                supervisor_of(tmp_path)
            refusals.append(refusal.value)
        lives = foreign.poll() is None
        foreign.kill()

    assert lives
    assert {os.getpid()} == {refusal.holder for refusal in refusals}
    assert "stack.lock" in str(refusals[0])


def test_a_lock_that_is_held_without_a_record_is_told_by_stop_and_by_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.embedded.background._RECORD_TIMEOUT_SECONDS", 0.1)
    with (tmp_path / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (tmp_path / "stack.json").write_bytes(b"\x00")

        for ask in (stop_running, stack_status):
            with pytest.raises(SupervisorUnknown) as refusal:
                ask(tmp_path)
            assert f"ps -fp {os.getpid()}" in str(refusal.value)
