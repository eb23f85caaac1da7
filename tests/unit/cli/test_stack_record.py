import stat
from pathlib import Path

import pytest

from cli.embedded.errors import StackAlreadyRunning
from cli.embedded.stack_record import StackLock, StackRecord, is_running, read_record

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
