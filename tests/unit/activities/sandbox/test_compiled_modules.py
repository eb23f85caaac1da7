import hashlib
import os
from pathlib import Path

import pytest
from wasmtime import Module, wat2wasm

from activities.sandbox.compiled_modules import CompiledModules, surplus_of
from activities.sandbox.engine import new_engine
from activities.sandbox.errors import ModuleInvalid
from agentflow.errors import ConfigurationError

MODULE = bytes(wat2wasm('(module (func (export "_start")))'))
ORG, OTHER = "org_a", "org_b"
DIGEST = hashlib.sha256(MODULE).hexdigest()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "modules"


def never() -> bytes:
    raise AssertionError("it was to be found compiled")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names_in(directory: Path, ending: str = "") -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.endswith(ending))


def make_folder(path: Path, *, mode: int = 0o700, owner: int = -1) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, owner, -1)


def link_to(target: Path, *, link: Path) -> None:
    link.symlink_to(target)


def is_loadable(path: Path) -> bool:
    return ["_start"] == [export.name for export in Module.deserialize_file(new_engine(), str(path)).exports]


async def test_a_module_is_compiled_once_for_every_process_to_come(directory: Path) -> None:
    path = await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)

    assert path == await CompiledModules(directory).path_of(DIGEST, never, org_id=ORG)
    assert is_loadable(path)


async def test_the_folder_and_its_files_are_the_users_own(directory: Path) -> None:
    path = await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)

    assert (0o700, 0o600) == (mode_of(directory), mode_of(path))
    assert [path.name, path.with_suffix(".sha256").name] == names_in(directory)


@pytest.mark.parametrize("content", [b"", b"not machine code", None], ids=["empty", "other", "flipped"])
async def test_a_file_that_is_not_what_was_stored_is_compiled_again(directory: Path, content: bytes | None) -> None:
    modules = CompiledModules(directory)
    path = await modules.path_of(DIGEST, lambda: MODULE, org_id=ORG)
    stored = path.read_bytes()
    path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]) if content is None else content)

    assert path == await modules.path_of(DIGEST, lambda: MODULE, org_id=ORG)
    assert stored == path.read_bytes()


async def test_a_file_without_its_digest_is_compiled_again(directory: Path) -> None:
    path = await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)
    path.with_suffix(".sha256").unlink()

    with pytest.raises(AssertionError, match="to be found compiled"):
        await CompiledModules(directory).path_of(DIGEST, never, org_id=ORG)


@pytest.mark.parametrize("kind", ["symlink", "writable"])
async def test_a_file_that_another_may_have_put_there_is_not_loaded(directory: Path, kind: str) -> None:
    path = await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)
    if kind == "symlink":
        path.rename(directory / "elsewhere")
        path.symlink_to(directory / "elsewhere")
    else:
        path.chmod(0o666)

    with pytest.raises(AssertionError, match="to be found compiled"):
        await CompiledModules(directory).path_of(DIGEST, never, org_id=ORG)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
async def test_a_folder_that_others_may_enter_is_refused(directory: Path, mode: int) -> None:
    make_folder(directory, mode=mode)

    with pytest.raises(ConfigurationError, match="SANDBOX_CACHE_DIRECTORY"):
        await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)


async def test_a_folder_that_is_a_link_is_refused(directory: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "real")
    link_to(tmp_path / "real", link=directory)

    with pytest.raises(ConfigurationError, match="chmod 700"):
        await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_a_folder_of_another_user_is_refused(directory: Path) -> None:
    make_folder(directory, owner=12_345)

    with pytest.raises(ConfigurationError, match="others may change it"):
        await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)


async def test_a_folder_that_cannot_be_made_is_told_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="SANDBOX_CACHE_DIRECTORY"):
        await CompiledModules(tmp_path / "file" / "modules").path_of(DIGEST, lambda: MODULE, org_id=ORG)


async def test_the_least_recently_used_make_room(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.sandbox.compiled_modules.MOST_FILES_OF_ORGANISATION", 2)
    modules = CompiledModules(directory)
    digests = [f"{number:064x}" for number in range(3)]
    for digest in digests[:2]:
        await modules.path_of(digest, lambda: MODULE, org_id=ORG)
    await modules.path_of(digests[0], never, org_id=ORG)

    await modules.path_of(digests[2], lambda: MODULE, org_id=ORG)

    assert [2, 2] == [len(names_in(directory, ending)) for ending in (".cwasm", ".sha256")]
    await modules.path_of(digests[0], never, org_id=ORG)
    with pytest.raises(AssertionError, match="to be found compiled"):
        await modules.path_of(digests[1], never, org_id=ORG)


async def test_an_organisation_makes_no_others_module_and_no_interpreter_leave(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.sandbox.compiled_modules.MOST_FILES_OF_ORGANISATION", 2)
    monkeypatch.setattr("activities.sandbox.compiled_modules.MOST_FILES", 3)
    modules = CompiledModules(directory)
    await modules.path_of(DIGEST, lambda: MODULE, org_id=None)
    await modules.path_of(DIGEST, lambda: MODULE, org_id=OTHER)

    for number in range(4):
        await modules.path_of(f"{number:064x}", lambda: MODULE, org_id=ORG)

    await modules.path_of(DIGEST, never, org_id=None)
    await modules.path_of(DIGEST, never, org_id=OTHER)
    assert len(names_in(directory, ".cwasm")) == 4


async def test_what_an_organisation_compiled_is_not_there_for_another(directory: Path) -> None:
    modules = CompiledModules(directory)
    path = await modules.path_of(DIGEST, lambda: MODULE, org_id=ORG)

    assert path != await modules.path_of(DIGEST, lambda: MODULE, org_id=OTHER)


def files_of(share: str, count: int) -> list[Path]:
    return [Path(f"{share}-{number}.cwasm") for number in range(count)]


@pytest.mark.parametrize(
    ("used", "surplus"),
    [
        (files_of("a", 66), files_of("a", 50)),
        (files_of("interpreter", 2) + files_of("a", 66), files_of("a", 50)),
        (files_of("interpreter", 9), files_of("interpreter", 1)),
        ([*files_of("b", 1), *files_of("a", 16)], []),
        ([file for share in "abcdefgh" for file in files_of(share, 8)], []),
        ([*(file for share in "bcdefghi" for file in files_of(share, 7)), *files_of("a", 16)], files_of("a", 8)),
        ([file for share in map(str, range(100)) for file in files_of(share, 1)],
         [file for share in map(str, range(36)) for file in files_of(share, 1)]),
    ],
)  # fmt: skip
def test_whoever_has_most_makes_room(used: list[Path], surplus: list[Path]) -> None:
    assert surplus == surplus_of(used)


async def test_a_module_that_takes_the_compiler_too_long_is_the_modules_fault(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.sandbox.compiled_modules.MODULE_PROCESSOR_SECONDS", 0)

    with pytest.raises(ModuleInvalid, match="too large"):
        await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)


async def test_drafts_of_processes_that_died_are_removed(directory: Path) -> None:
    make_folder(directory)
    for name in ("old", "fresh"):
        (directory / f".draft-{name}").touch()
    os.utime(directory / ".draft-old", (0, 0))

    await CompiledModules(directory).path_of(DIGEST, lambda: MODULE, org_id=ORG)

    assert [".draft-fresh"] == [name for name in names_in(directory) if name.startswith(".draft")]
