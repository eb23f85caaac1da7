"""What to do about what a part has written before it failed: the usual reasons, each with its mend."""

import errno
import re
from collections.abc import Mapping
from typing import Final

_FREE_ROOM = "the disk is full: free some room where the data folder is, then start again"
#: The first that fits counts. Messages of PostgreSQL, SQLite and Temporal, and the operating system's own.
_MENDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), mend)
    for pattern, mend in (
        (
            r"could not (resize|create|open) shared memory segment",
            "there is no shared memory left: give the machine or the container more (docker run --shm-size=256m)",
        ),
        (r"no space left on device|database or disk is full|disk quota exceeded", _FREE_ROOM),
        (
            r"pre-existing shared memory block",
            "processes of the server before are still there: wait until they have ended, or end them",
        ),
        (
            r"database files are incompatible|initialized by postgresql version",
            "the data are of another version: install that one and dump them, or move the folder away and begin anew",
        ),
        (
            r"invalid (permissions|mode)|wrong ownership|permission denied|operation not permitted",
            "the data folder, and all in it, must belong to whom it runs as: see `ls -la` there, and chown it",
        ),
        (r"read-only file system", "the data folder is on a read-only file system: choose another with --data-dir"),
        (
            r"could not locate a valid checkpoint|invalid (primary )?checkpoint|pg_control|invalid data in file",
            "the database's files are damaged: bring back a copy, or move the folder `postgres` away and begin anew",
        ),
        (
            r"database disk image is malformed|file is not a database|malformed database schema",
            "Temporal's database is damaged: bring a copy of temporal.db back, or move temporal.db* away, runs and all",
        ),
        (
            r"unable to open database file|is a directory",
            "something else lies where a file should be, or may not be read: see `ls -la` in the data folder",
        ),
        (r"address already in use|eaddrinuse", "another program has just taken the port: start again"),
        (r"too many open files", "raise the limit of open files (`ulimit -n`), then start again"),
        (r"cannot allocate memory|out of memory", "there is not enough memory: end other programs, then start again"),
    )
)
#: By the number of the operating system's error.
_SYSTEM_MENDS: Final[Mapping[int, str]] = {
    errno.ENOSPC: _FREE_ROOM,
    errno.EDQUOT: _FREE_ROOM,
    errno.EACCES: "give it to your user (chown, chmod u+rwX), or choose another folder with --data-dir",
    errno.EPERM: "give it to your user (chown, chmod u+rwX), or choose another folder with --data-dir",
    errno.EROFS: "the file system is read-only: choose another folder with --data-dir",
    errno.EISDIR: "a folder lies where a file should be: move it away",
    errno.ENOTEMPTY: "a folder lies where a file should be: move it away",
    errno.ENOTDIR: "a file lies where a folder should be: move it away, or choose another folder with --data-dir",
    errno.EEXIST: "a file lies where a folder should be: move it away, or choose another folder with --data-dir",
    errno.ELOOP: "symbolic links lead in a circle there: remove them",
    errno.ENAMETOOLONG: "the path is too long: choose another folder with --data-dir",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), then start again",
}


def mend_for_log(written: str) -> str | None:
    """What helps against what a part has written last; None when it is nothing usual."""
    return next((mend for pattern, mend in _MENDS if pattern.search(written)), None)


def mend_for_system_error(error: OSError) -> str:
    """What helps against an error of the operating system."""
    return _SYSTEM_MENDS.get(error.errno or 0, "see whether the folder can be used, or choose another with --data-dir")
