import errno
from pathlib import Path

import pytest

from cli.embedded import room
from cli.embedded.background import start_in_background
from cli.embedded.errors import FolderUnusable, PartFailed, told_as_unusable
from cli.embedded.mends import mend_for_log, mend_for_system_error
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack
from cli.embedded.supervisor import StackOptions


def full(_folder: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_is_told_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.embedded.background.check_room", full)
    monkeypatch.setattr("cli.embedded.stack.check_room", full)

    for start in (
        lambda: start_in_background(StackOptions(data_dir=tmp_path)),
        EmbeddedStack(tmp_path, StackPorts.any_free()).start,
    ):
        with pytest.raises(FolderUnusable) as refusal:
            start()
        assert "free some room" in str(refusal.value)
        assert str(tmp_path) in str(refusal.value)


def test_the_look_for_room_leaves_nothing_behind(tmp_path: Path) -> None:
    room.check_room(tmp_path)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "number",
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR),
        *(errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.EIO),
    ],
)
def test_every_error_of_the_system_is_told_with_its_file_and_a_mend(tmp_path: Path, number: int) -> None:
    with pytest.raises(FolderUnusable) as refusal, told_as_unusable(tmp_path):
        raise OSError(number, "what it is", str(tmp_path / "stack.lock"))

    assert str(tmp_path / "stack.lock") in str(refusal.value)
    assert mend_for_system_error(OSError(number, "")) == refusal.value.mend


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("FATAL:  could not write lock file: No space left on device", "free some room"),
        ("could not resize shared memory segment: No space left on device", "shared memory"),
        ("FATAL:  database files are incompatible with server", "another version"),
        ('FATAL:  data directory "/d" has invalid permissions', "chown"),
        ("PANIC:  could not locate a valid checkpoint record", "damaged"),
        ("sql schema setup failed: file is not a database (26)", "temporal.db"),
        ("unable to open database file: is a directory", "something else lies"),
        ("listen tcp 127.0.0.1:7233: bind: address already in use", "start again"),
        ("accept: too many open files", "ulimit"),
    ],
)
def test_the_usual_reasons_of_a_part_are_told_with_their_mend(written: str, mend: str) -> None:
    failure = PartFailed(part="temporal", reason="exited", log_file=Path("/log"), log_tail=written)

    assert mend in str(failure)
    assert written in str(failure)


def test_what_is_not_known_is_quoted_without_advice() -> None:
    assert mend_for_log("something else entirely") is None
