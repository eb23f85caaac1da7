import base64
import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.embedded.errors import FolderUnusable
from cli.embedded.key_files import ensure_dev_api_key, ensure_vault_key, write_private


@pytest.fixture(autouse=True)
def lax_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_vault_key_is_32_bytes_in_base64_for_its_owner_only(tmp_path: Path) -> None:
    key = ensure_vault_key(tmp_path / "vault.key")

    assert len(base64.b64decode(key, validate=True)) == 32
    assert mode_of(tmp_path / "vault.key") == 0o600


def test_the_development_key_has_its_prefix_and_256_bits_for_its_owner_only(tmp_path: Path) -> None:
    key = ensure_dev_api_key(tmp_path / "dev-api-key")

    assert re.fullmatch(r"af_[A-Za-z0-9_-]{43}", key)
    assert mode_of(tmp_path / "dev-api-key") == 0o600


def test_a_key_that_exists_is_kept_and_its_mode_is_repaired(tmp_path: Path) -> None:
    first = ensure_vault_key(tmp_path / "vault.key")
    (tmp_path / "vault.key").chmod(0o644)

    second = ensure_vault_key(tmp_path / "vault.key")

    assert first == second
    assert mode_of(tmp_path / "vault.key") == 0o600


def test_many_makers_at_once_agree_on_one_key_and_leave_nothing_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as makers:
        keys = set(makers.map(lambda _: ensure_vault_key(tmp_path / "vault.key"), range(64)))

    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["vault.key"]


def test_private_content_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("a longer content than the one that follows", encoding="utf-8")

    write_private(tmp_path / "stack.json", "{}")

    assert (tmp_path / "stack.json").read_text(encoding="utf-8") == "{}"
    assert mode_of(tmp_path / "stack.json") == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"c2hvcnQ=", b"\x00" * 32, b"\xff\xfe", b"af_" + b"a" * 43, b"A" * 9999]
)
def test_a_vault_key_that_is_none_is_left_alone_and_the_mend_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "vault.key"
    file.write_bytes(content)

    with pytest.raises(FolderUnusable) as refusal:
        ensure_vault_key(file)

    assert content == file.read_bytes()
    assert str(file) in str(refusal.value)
    assert "remove the file" in refusal.value.mend


@pytest.mark.parametrize("content", [b"", b"  \n", b"short", b"two words of a length", b"\xff" * 32, b"x" * 9999])
def test_a_development_key_that_is_none_is_refused_with_the_mend(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dev-api-key").write_bytes(content)

    with pytest.raises(FolderUnusable, match="remove the file"):
        ensure_dev_api_key(tmp_path / "dev-api-key")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "vault.key")

    with pytest.raises(FolderUnusable):
        ensure_vault_key(tmp_path / "vault.key")
