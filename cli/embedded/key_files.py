"""Secrets of a stack on one machine: made once, readable by their owner only, and kept across restarts."""

import base64
import binascii
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.embedded.errors import FolderUnusable

_VAULT_KEY_BYTES = 32
_API_KEY_BYTES = 32
_OWNER_ONLY = 0o600
_MOST_BYTES = 4096


def ensure_vault_key(path: Path) -> str:
    """The vault key in `path`, 32 random bytes in base64; made on first use.

    Raises FolderUnusable when the file holds anything else: what was encrypted with the key is lost without it.
    """
    key = _ensure(path, base64.b64encode(secrets.token_bytes(_VAULT_KEY_BYTES)).decode(), _is_vault_key)
    if key is None:
        raise FolderUnusable(
            path=path,
            reason="holds no vault key (32 bytes in base64)",
            mend="bring a copy of it back; without one, what it encrypted stays closed: remove the file, and the next "
            "start makes another key",
        )
    return key


def ensure_dev_api_key(path: Path) -> str:
    """The development API key in `path`, `af_` and 43 url-safe characters (256 random bits); made on first use.

    Raises FolderUnusable when the file holds anything that cannot be sent as a key.
    """
    key = _ensure(path, f"af_{secrets.token_urlsafe(_API_KEY_BYTES)}", _is_api_key)
    if key is None:
        raise FolderUnusable(
            path=path, reason="holds no API key", mend="remove the file, and the next start makes another key"
        )
    return key


def write_private(path: Path, content: str) -> None:
    """Replaces `path` by `content` in one step, with mode 0600."""
    written = _write_beside(path, content)
    try:
        written.replace(path)
    except OSError:
        # It may hold a secret: nothing of it stays behind.
        written.unlink(missing_ok=True)
        raise


def _ensure(path: Path, candidate: str, is_key: Callable[[str], bool]) -> str | None:
    """What `path` holds, which is `candidate` when it did not exist; of two makers at once, one wins for both.

    None when it holds no key.
    """
    if not os.path.lexists(path):
        written = _write_beside(path, candidate + "\n")
        try:
            path.hardlink_to(written)
        except FileExistsError:
            # Another process was first; its key is the key.
            pass
        finally:
            written.unlink()
    if not path.is_file():
        return None
    path.chmod(_OWNER_ONLY)
    with path.open("rb") as file:
        key = file.read(_MOST_BYTES).decode("ascii", errors="replace").strip()
    return key if is_key(key) else None


def _is_vault_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _VAULT_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _is_api_key(text: str) -> bool:
    return re.fullmatch(r"[!-~]{16,256}", text) is not None


def _write_beside(path: Path, content: str) -> Path:
    # mkstemp makes the file with mode 0600, whatever the umask.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        # The disk is full; and half a secret is one that nobody needs.
        written.unlink(missing_ok=True)
        raise
    return written
