"""Requests with everything that a test does not care about filled in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from activities.sandbox.models import CodeLanguage, CodeLimits, CodeRequest
from agentflow.digest import Json

NOW = datetime(2026, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)
ORG = "org_sandbox"
#: A second of Python.
LIMITS = CodeLimits(fuel=6_000_000_000, memory_bytes=64 * 1024 * 1024, output_bytes=64 * 1024)

#: Copies its standard input to its standard output, 4 KiB at most.
ECHO = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


def compiled_modules_directory(request: pytest.FixtureRequest) -> Path:
    """Kept between sessions, since Python takes seconds to compile; names follow from what was compiled."""
    cache = request.config.cache
    assert cache is not None
    return Path(cache.mkdir("sandbox")) / "modules"


def python(source: str, *, input: Json = None, seed: int = 7, limits: CodeLimits = LIMITS) -> CodeRequest:  # noqa: A002
    return CodeRequest(
        org_id=ORG, language=CodeLanguage.PYTHON, source=source, input=input, seed=seed, now=NOW, limits=limits
    )


def javascript(source: str, *, input: Json = None, seed: int = 7, limits: CodeLimits = LIMITS) -> CodeRequest:  # noqa: A002
    return CodeRequest(
        org_id=ORG, language=CodeLanguage.JAVASCRIPT, source=source, input=input, seed=seed, now=NOW, limits=limits
    )


def wasm(module: str | bytes, *, input: Json = None, seed: int = 7, limits: CodeLimits = LIMITS) -> CodeRequest:  # noqa: A002
    """A request for a module, given as WebAssembly's text or as bytes."""
    content = bytes(wat2wasm(module)) if isinstance(module, str) else module
    return CodeRequest(
        org_id=ORG, language=CodeLanguage.WASM, module=content, input=input, seed=seed, now=NOW, limits=limits
    )
