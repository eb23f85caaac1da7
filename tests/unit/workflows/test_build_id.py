from importlib.metadata import version
from pathlib import Path

import pytest

from agentflow.settings import Settings
from workflows.build_id import build_id, commit_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RELEASED = version("agentflow-platform")


def checkout(folder: Path, **files: str) -> Path:
    """A folder whose `.git` has these files; `__` stands for a slash."""
    for name, content in files.items():
        file = folder / ".git" / name.replace("__", "/").replace("packed_refs", "packed-refs")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return folder


def test_what_the_settings_say_is_the_build(tmp_path: Path) -> None:
    assert "2026-11-25.1" == build_id(Settings(worker_build_id="2026-11-25.1"), checkout=checkout(tmp_path))


def test_without_a_checkout_it_is_the_packages_version(tmp_path: Path) -> None:
    assert RELEASED == build_id(Settings(), checkout=tmp_path)


def test_in_a_checkout_the_commit_belongs_to_it(tmp_path: Path) -> None:
    folder = checkout(tmp_path, HEAD="ref: refs/heads/main", refs__heads__main=COMMIT)

    assert f"{RELEASED}-g0123456789ab" == build_id(Settings(), checkout=folder)


@pytest.mark.parametrize(
    "files",
    [
        {"HEAD": COMMIT},
        {"HEAD": "ref: refs/heads/main", "refs__heads__main": COMMIT},
        {"HEAD": "ref: refs/heads/main", "packed_refs": f"# pack-refs with: peeled\n{COMMIT} refs/heads/main"},
    ],
)
def test_a_commit_is_found_wherever_git_keeps_it(tmp_path: Path, files: dict[str, str]) -> None:
    assert COMMIT == commit_of(checkout(tmp_path, **files))


def test_a_linked_worktree_shares_its_branches(tmp_path: Path) -> None:
    files = {"worktrees__w__HEAD": "ref: refs/heads/work", "worktrees__w__commondir": "../.."}
    checkout(tmp_path, refs__heads__work=COMMIT, **files)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {tmp_path}/.git/worktrees/w\n")

    assert COMMIT == commit_of(linked)


@pytest.mark.parametrize(
    "files", [{}, {"HEAD": ""}, {"HEAD": "ref: refs/heads/gone"}, {"HEAD": "ref: refs/heads/x", "packed_refs": "#"}]
)
def test_a_commit_that_cannot_be_told_is_left_out(tmp_path: Path, files: dict[str, str]) -> None:
    assert commit_of(checkout(tmp_path, **files)) is None
