import pytest

from activities.sandbox.errors import (
    GuestCrashed,
    MainMissing,
    ModuleInvalid,
    OutOfMemory,
    OutputInvalid,
    StackExhausted,
)
from activities.sandbox.models import CodeRequest
from activities.sandbox.runner import SandboxRunner
from tests.unit.activities.sandbox.requests import ECHO, wasm


def writing(text: str) -> str:
    """A module that writes `text`."""
    data = "".join(f"\\{byte:02x}" for byte in text.encode())
    return f"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{data}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const {len(text.encode())}))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


async def test_a_module_reads_its_input_and_writes_its_output(runner: SandboxRunner) -> None:
    result = await runner.run(wasm(ECHO, input={"é": [1, 2.5, None]}))

    assert {"é": [1, 2.5, None]} == result.output
    assert 0 < result.fuel_used < 1_000_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "it is empty"), ("{", "Expecting"), ("NaN", "NaN is no number"), ("1e999", "out of range")],
)
async def test_an_output_that_is_not_json_is_refused(runner: SandboxRunner, text: str, reason: str) -> None:
    with pytest.raises(OutputInvalid, match=reason):
        await runner.run(wasm(writing(text)))


NOTHING_TO_CALL = '(module (memory (export "memory") 1) (func (export "main")))'
FOREIGN_IMPORT = '(module (import "env" "system" (func)) (func (export "_start")))'
UNKNOWN_IMPORT = '(module (import "wasi_snapshot_preview1" "sock_open" (func)) (func (export "_start")))'
WRONG_TYPE = '(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64))) (func (export "_start")))'
WRONG_START = '(module (func (export "_start") (param i32)))'
LARGE_FROM_THE_START = '(module (memory 2000) (func (export "_start")))'
LARGE_EXPORTED = '(module (memory (export "memory") 2000) (func (export "_start")))'
TRAP = '(module (func (export "_start") unreachable))'
OUT_OF_BOUNDS = '(module (memory 1) (func (export "_start") (drop (i32.load (i32.const 70000)))))'
RECURSION = '(module (func $again (export "_start") (call $again) (call $again)))'
SHARED_MEMORY = '(module (memory (export "memory") 1 1 shared) (func (export "_start")))'
EXIT_CODE = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_start") (call $exit (i32.const 7)) (loop $on (br $on))))"""
FILLS_ITS_MEMORY = """(module (memory (export "memory") 1)
  (func (export "_start")
    (loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable))"""


@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        (wasm(b"MZ no module"), ModuleInvalid, "cannot be used"),
        (wasm(SHARED_MEMORY), ModuleInvalid, "threads"),
        (wasm(FOREIGN_IMPORT), ModuleInvalid, "imports env.system"),
        (wasm(UNKNOWN_IMPORT), ModuleInvalid, "sock_open"),
        (wasm(WRONG_TYPE), ModuleInvalid, "fd_close"),
        (wasm(WRONG_START), ModuleInvalid, "param"),
        (wasm(NOTHING_TO_CALL), MainMissing, "_start"),
        (wasm(LARGE_FROM_THE_START), OutOfMemory, "67,108,864 bytes"),
        (wasm(LARGE_EXPORTED), OutOfMemory, "67,108,864 bytes"),
        (wasm(FILLS_ITS_MEMORY), OutOfMemory, "67,108,864 bytes"),
        (wasm(TRAP), GuestCrashed, "unreachable"),
        (wasm(OUT_OF_BOUNDS), GuestCrashed, "memory out of bounds"),
        (wasm(EXIT_CODE), GuestCrashed, "exit code 7"),
        (wasm(RECURSION), StackExhausted, "too deeply"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_every_way_to_fail_has_its_error(
    runner: SandboxRunner, request_: CodeRequest, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        await runner.run(request_)
