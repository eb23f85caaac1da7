"""Which build of the code this process runs, as Temporal tells builds of one deployment apart.

What is said in WORKER_BUILD_ID; in a checkout, the package's version and the commit; else the package's version.
Git's own files are read: a worker's image has no git, and a process costs more than two small reads.
"""

from importlib.metadata import version
from pathlib import Path

from agentflow.settings import Settings

_COMMIT_CHARACTERS = 12
_CHECKOUT = Path(__file__).parents[1]


def build_id(settings: Settings, *, checkout: Path = _CHECKOUT) -> str:
    """The build's id; changes that are not committed do not show in it."""
    if settings.worker_build_id is not None:
        return settings.worker_build_id
    released = version("agentflow-platform")
    commit = commit_of(checkout)
    return released if commit is None else f"{released}-g{commit[:_COMMIT_CHARACTERS]}"


def commit_of(checkout: Path) -> str | None:
    """The commit that is checked out in a folder; None where that cannot be told."""
    try:
        git = _git_folder(checkout)
        head = _read(git / "HEAD")
        if not head.startswith("ref: "):
            return head or None
        return _resolved(git, head.removeprefix("ref: "))
    except (OSError, UnicodeDecodeError):
        return None


def _git_folder(checkout: Path) -> Path:
    """`.git`, or the folder that the file of a linked worktree names."""
    git = checkout / ".git"
    return checkout / _read(git).removeprefix("gitdir: ") if git.is_file() else git


def _resolved(git: Path, reference: str) -> str | None:
    """The commit of a branch, from its own file or the list of packed ones; worktrees share both."""
    shared = git / _read(git / "commondir") if (git / "commondir").is_file() else git
    for folder in (git, shared):
        if (folder / reference).is_file():
            return _read(folder / reference)
    for line in _read(shared / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return None


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
