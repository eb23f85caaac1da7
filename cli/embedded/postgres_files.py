"""The files of a PostgreSQL server before it runs: its data, made whole or not at all, and the folder of its socket."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cli.embedded.errors import FolderUnusable, PartFailed
from cli.embedded.postgres_place import PostgresPlace
from cli.embedded.room import check_room

SUPERUSER = "postgres"
_INIT_TIMEOUT_SECONDS = 120.0
_VERSION_FILE = "PG_VERSION"
_CONTROL_FILE = Path("global") / "pg_control"
#: What may lie in a folder that has no data yet: left behind by starts that failed.
_NO_DATA = re.compile(r"log(\.1)?|postmaster\.pid|\.handle_pids\.json|\.s\.PGSQL\..*|being-made")
_BEING_MADE, _LOGS = "being-made", ("log", "log.1")
_SOCKET = ".s.PGSQL.5432.lock"
#: unix(7): 108 bytes with the final NUL.
_LONGEST_SOCKET_PATH = 107
#: What the programs need of our environment; PGPORT, PGDATA and their like would change what is started.
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ")


def command_environment() -> dict[str, str]:
    """The whole environment of PostgreSQL's programs: no key or secret of ours is in it."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def ensure_database_files(place: PostgresPlace, failure: Callable[[str], PartFailed]) -> None:
    """Makes the files of a new server, in one step; those that are there stay as they are.

    Raises what `failure` makes of a reason when they cannot be made, FolderUnusable when something else is there.
    """
    found = [entry.name for entry in place.data.iterdir()]
    # With that name there, and no version, they are those of a start that was killed while it made them.
    is_half_made = _BEING_MADE in found and _VERSION_FILE not in found
    if not is_half_made and any(not _NO_DATA.fullmatch(name) for name in found):
        _refuse_broken_files(place)
        return
    check_room(place.data)
    for name in found:
        if name not in _LOGS:
            _remove(place.data / name)
    made = place.data / _BEING_MADE
    made.mkdir(mode=0o700)
    if place.account is not None:
        os.chown(made, place.account.uid, place.account.gid)
    _initialise(made, place, failure)
    # The version comes last: without it, what is there counts for nothing.
    entries = sorted(made.iterdir(), key=lambda entry: entry.name == _VERSION_FILE)
    for entry in entries:
        entry.rename(place.data / entry.name)
    made.rmdir()


def private_socket_folder(place: PostgresPlace) -> Path:
    """Where the socket goes: the data folder, or where its path is too long, a folder that is as closed as that one.

    To be called when no server runs: a socket that is there is removed, with its lock, whosever number is in it.
    """
    is_short = len(os.fsencode(place.data / _SOCKET)) <= _LONGEST_SOCKET_PATH
    folder = place.data if is_short else _short_folder(place)
    for left in folder.glob(".s.PGSQL.*"):
        _remove(left)
    return folder


def _short_folder(place: PostgresPlace) -> Path:
    digest = sha256(os.fsencode(place.data)).hexdigest()[:16]
    parent = Path("/tmp")  # noqa: S108  # Short, there, and open to every user; what is made in it is closed.
    folder = parent / f"agentflow-postgres-{digest}"
    owner = place.account.uid if place.account is not None else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner, os.geteuid()}:
            # Somebody else's, who knew the name.
            folder = Path(tempfile.mkdtemp(prefix="agentflow-postgres-", dir=parent))
    if place.account is not None:
        os.chown(folder, place.account.uid, place.account.gid)
    folder.chmod(0o700)
    return folder


def _refuse_broken_files(place: PostgresPlace) -> None:
    version, control = place.data / _VERSION_FILE, place.data / _CONTROL_FILE
    missing = next((file for file in (version, control) if not file.is_file() or file.stat().st_size == 0), None)
    begin_anew = f"move the folder away to begin with an empty database: mv {place.data} {place.data}.old"
    if missing is not None:
        raise FolderUnusable(
            path=place.data,
            reason=f"holds no whole database ({missing.relative_to(place.data)} is missing or empty)",
            mend=f"bring a copy of it back, or {begin_anew}",
        )
    written, installed = version.read_bytes()[:16].strip().decode(errors="replace"), _installed_version(place)
    if written != installed:
        raise FolderUnusable(
            path=place.data,
            reason=f"was written by PostgreSQL {written!r}, and {installed} is installed",
            mend=f"dump it with that version and restore the dump, or {begin_anew}",
        )


def _installed_version(place: PostgresPlace) -> str:
    """The major version, which is what data are bound to."""
    told = subprocess.run(  # noqa: S603  # The command is ours, given as a list.
        [str(place.programs / "postgres"), "--version"],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=_INIT_TIMEOUT_SECONDS,
        check=False,
    ).stdout
    number = re.search(r"\d+", told)
    return number.group() if number else told


def _initialise(made: Path, place: PostgresPlace, failure: Callable[[str], PartFailed]) -> None:
    options = ["--auth-local=trust", "--auth-host=reject", "--encoding=utf8", "--lc-messages=C", "-U", SUPERUSER]
    try:
        ended = subprocess.run(  # noqa: S603  # The command is ours, given as a list.
            [str(place.programs / "initdb"), *options, "-D", str(made)],
            env=command_environment(),
            cwd=place.data,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            umask=0o077,
            timeout=_INIT_TIMEOUT_SECONDS,
            check=False,
            **place.identity(),
        )
    except subprocess.TimeoutExpired as error:
        raise failure(f"could not make its files within {_INIT_TIMEOUT_SECONDS:g} s") from error
    if ended.returncode != 0:
        _remove(made)
        raise failure(f"could not make its files: {ended.stderr.strip()}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
