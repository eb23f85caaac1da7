"""Secrets of a stack on one machine: made once, readable by their owner only, and kept across restarts."""

import base64
import os
import secrets
import tempfile
from pathlib import Path

_VAULT_KEY_BYTES = 32
_API_KEY_BYTES = 32
_OWNER_ONLY = 0o600


def ensure_vault_key(path: Path) -> str:
    """The vault key in `path`, 32 random bytes in base64; made on first use."""
    return _ensure(path, base64.b64encode(secrets.token_bytes(_VAULT_KEY_BYTES)).decode())


def ensure_dev_api_key(path: Path) -> str:
    """The development API key in `path`, `af_` and 43 url-safe characters (256 random bits); made on first use."""
    return _ensure(path, f"af_{secrets.token_urlsafe(_API_KEY_BYTES)}")


def write_private(path: Path, content: str) -> None:
    """Replaces `path` by `content` in one step, with mode 0600."""
    written = _write_beside(path, content)
    try:
        written.replace(path)
    except OSError:
        # It may hold a secret: nothing of it stays behind.
        written.unlink(missing_ok=True)
        raise


def _ensure(path: Path, candidate: str) -> str:
    """What `path` holds, which is `candidate` when it did not exist; of two makers at once, one wins for both."""
    if not path.exists():
        written = _write_beside(path, candidate + "\n")
        try:
            path.hardlink_to(written)
        except FileExistsError:
            # Another process was first; its key is the key.
            pass
        finally:
            written.unlink()
    path.chmod(_OWNER_ONLY)
    return path.read_text(encoding="ascii").strip()


def _write_beside(path: Path, content: str) -> Path:
    # mkstemp makes the file with mode 0600, whatever the umask.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
