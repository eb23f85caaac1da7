import os
from pathlib import Path

import pytest

from cli.embedded.postgres_pid_file import PidFile, parse_pid_file, read_pid_file

WHOLE = b"4711\n/data\n1764590000\n5432\n/sockets\n\n  8826964     65536\nready   \n"
READY = PidFile(pid=4711, port=5432, socket_folder=Path("/sockets"), is_ready=True)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (WHOLE, READY),
        (WHOLE.rstrip(), READY),
        (WHOLE.replace(b"\n", b"\r\n"), READY),
        (WHOLE + b"more\n", READY),
        (WHOLE.replace(b"ready   ", b"starting"), PidFile(pid=4711, port=5432, socket_folder=Path("/sockets"))),
        # What a server leaves that is killed within milliseconds of its start.
        (WHOLE[: WHOLE.index(b"ready")], PidFile(pid=4711, port=5432, socket_folder=Path("/sockets"))),
        (b"4711\n/data\n1764590000\n5432\n/soc", PidFile(pid=4711, port=5432, socket_folder=Path("/soc"))),
        (b"4711\n/data\n", PidFile(pid=4711)),
        (b"47", PidFile(pid=47)),
        (b"", PidFile()),
        (b"\n\n\n\n\n\n\n\n", PidFile()),
        (b"\0" * 64, PidFile()),
        (b"ee64\xff\xfe\n", PidFile()),
        (b"-4711\n/data\n", PidFile()),
        (b"0\n", PidFile()),
        (b"1\n", PidFile()),
        (b"99999999999999999999999\n", PidFile()),
        (b"4194305\n", PidFile()),
        ("٤٧\n".encode(), PidFile()),
        (b"4711\n/data\n1\n70000\nrelative\n\n\nready\n", PidFile(pid=4711, is_ready=True)),
        (b"4711\n/data\n1\n5432\n/so\0ckets\n\n\nready\n", PidFile(pid=4711, port=5432, is_ready=True)),
    ],
)
def test_every_content_is_read_as_far_as_it_goes(content: bytes, found: PidFile) -> None:
    assert found == parse_pid_file(content)


def test_what_is_no_file_says_nothing_and_is_not_waited_for(tmp_path: Path) -> None:
    absent = read_pid_file(tmp_path)
    os.mkfifo(tmp_path / "postmaster.pid")
    pipe = read_pid_file(tmp_path)
    (tmp_path / "postmaster.pid").unlink()
    (tmp_path / "postmaster.pid").mkdir()

    assert PidFile() == absent == pipe == read_pid_file(tmp_path)
