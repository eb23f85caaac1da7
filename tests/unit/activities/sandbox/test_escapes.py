"""Every attempt to get out, or to take more than its share, ends in the error that names it; then all goes on."""

from dataclasses import replace

import pytest

from activities.sandbox.errors import (
    AccessDenied,
    CodeError,
    GuestCrashed,
    GuestRaised,
    OutOfFuel,
    OutOfMemory,
    OutOfTime,
    OutputTooLarge,
    StackExhausted,
)
from activities.sandbox.models import MOST_LOG_BYTES, CodeLanguage, CodeLimits, CodeRequest
from activities.sandbox.runner import SandboxRunner
from tests.unit.activities.sandbox.requests import LIMITS, NOW, javascript, python, wasm

MEMORY = CodeLimits(fuel=20_000_000_000, memory_bytes=32 * 1024 * 1024)
SHORT = replace(LIMITS, fuel=800_000_000)
#: Each level takes the interpreter's own stack, which no limit of Python's guards here.
DEEP_IN_C = """
import sys
sys.setrecursionlimit(10**9)
class Deep:
    def __getattr__(self, name): return getattr(self, name)
def main(input): return Deep().er
"""
BRIEF = replace(LIMITS, fuel=1_000_000_000_000, wall_seconds=0.4)


def python_doing(statement: str, limits: CodeLimits = LIMITS) -> CodeRequest:
    return python(f"import os, socket, sys, threading, time\ndef main(input):\n    {statement}\n", limits=limits)


def javascript_doing(statement: str, limits: CodeLimits = LIMITS) -> CodeRequest:
    return javascript(f"function main() {{ {statement} }}", limits=limits)


def wasm_calling(name: str, parameters: str, arguments: str, *, times: str = "") -> CodeRequest:
    """A module that makes one call of WASI, and traps when it is refused."""
    return wasm(f"""
(module
  (import "wasi_snapshot_preview1" "{name}" (func $call (param {parameters}) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "etc/passwd")
  (func (export "_start") (if (call $call {arguments}) (then unreachable)) {times}))
""")


async def fails_with(runner: SandboxRunner, request: CodeRequest, error: type[CodeError]) -> CodeError:
    """The error of an attempt, after which the same runner does honest work."""
    with pytest.raises(error) as refusal:
        await runner.run(request)
    of_python, of_javascript = python("def main(input): return 2"), javascript("export default () => 2")
    honest = of_python if request.language is CodeLanguage.PYTHON else of_javascript
    assert 2 == (await runner.run(honest)).output
    return refusal.value


@pytest.mark.parametrize(
    "statement",
    [
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "open('../../../../etc/passwd').read()",
        "open('/tmp/left-behind', 'w').write('x')",
        "open('/usr/local/lib/python3.12/os.py', 'w').write('x' * 100_000)",
        "os.symlink('/', '/tmp/root')",
        "os.listdir('/')",
        "os.mkdir('/left-behind')",
        "socket.socket().connect(('127.0.0.1', 80))",
        "socket.create_connection(('127.0.0.1', 80))",
        "socket.getaddrinfo('localhost', 80)",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1/')",
        "__import__('ssl').create_default_context()",
        "os.fork()",
        "os.system('id')",
        "os.execv('/bin/sh', ['sh'])",
        "os.kill(1, 9)",
        "__import__('subprocess').run(['id'])",
        "__import__('multiprocessing').Process(target=print).start()",
        "[threading.Thread(target=time.sleep, args=(9,)).start() for _ in range(100)]",
        "__import__('ctypes').CDLL('libc.so.6')",
    ],
)
async def test_python_has_no_files_network_processes_or_threads(runner: SandboxRunner, statement: str) -> None:
    refusal = await fails_with(runner, python_doing(statement), AccessDenied)

    assert "code.access_denied" == refusal.code


@pytest.mark.parametrize(
    "statement",
    [
        "return fetch('http://127.0.0.1/')",
        "return require('fs').readFileSync('/etc/passwd')",
        "return process.env",
        "return Deno.readTextFileSync('/etc/passwd')",
        "return new Worker('x')",
        "return import('/etc/passwd')",
        "return import('../../etc/passwd')",
        "return import('qjs:std').then((std) => std.loadFile('/etc/passwd').length)",
    ],
)
async def test_javascript_has_none_either(runner: SandboxRunner, statement: str) -> None:
    is_ours = "loadFile" in statement  # it gives null, whose length is asked for

    await fails_with(runner, javascript_doing(statement), GuestRaised if is_ours else AccessDenied)


async def test_javascript_finds_no_file_and_nothing_in_any_folder(runner: SandboxRunner) -> None:
    source = """
import * as std from "qjs:std";
import * as os from "qjs:os";
export function main() {
  return [
    std.open("/etc/passwd", "r"), std.open("/left-behind", "w"), os.open("/etc/passwd", os.O_RDONLY) < 0,
    os.mkdir("/left-behind") < 0, os.readdir("/")[0], Object.keys(std.getenviron()), os.exec, os.Worker,
  ];
}
"""
    result = await runner.run(javascript(source))

    assert [None, None, True, True, [], [], None, None] == result.output


@pytest.mark.parametrize(
    ("name", "parameters", "arguments"),
    [
        (
            "path_open",
            "i32 i32 i32 i32 i32 i64 i64 i32 i32",
            "(i32.const 3) (i32.const 1) (i32.const 64) (i32.const 10) (i32.const 0) "
            + "(i64.const 0) " * 2
            + "(i32.const 0) (i32.const 0)",
        ),
        ("path_unlink_file", "i32 i32 i32", "(i32.const 3) (i32.const 64) (i32.const 10)"),
        ("sock_accept", "i32 i32 i32", "(i32.const 3) (i32.const 0) (i32.const 0)"),
        ("sock_send", "i32 i32 i32 i32 i32", "(i32.const 3) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8)"),
        ("proc_raise", "i32", "(i32.const 9)"),
        ("fd_write", "i32 i32 i32 i32", "(i32.const 5) (i32.const 0) (i32.const 1) (i32.const 8)"),
    ],
)
async def test_a_module_has_none_of_them(runner: SandboxRunner, name: str, parameters: str, arguments: str) -> None:
    refusal = await fails_with(runner, wasm_calling(name, parameters, arguments), AccessDenied)

    assert isinstance(refusal, AccessDenied)
    assert refusal.operation.startswith(name)


@pytest.mark.parametrize("address", [-1, -8, 65_535, 2_147_483_647])
@pytest.mark.parametrize(
    ("name", "parameters", "arguments"),
    [
        ("random_get", "i32 i32", "(i32.const {}) (i32.const 64)"),
        ("clock_time_get", "i32 i64 i32", "(i32.const 0) (i64.const 0) (i32.const {})"),
        ("fd_read", "i32 i32 i32 i32", "(i32.const 0) (i32.const {}) (i32.const 1) (i32.const 0)"),
        ("fd_write", "i32 i32 i32 i32", "(i32.const 2) (i32.const {}) (i32.const -1) (i32.const 0)"),
        ("poll_oneoff", "i32 i32 i32 i32", "(i32.const {}) (i32.const 0) (i32.const 8) (i32.const 0)"),
        ("environ_sizes_get", "i32 i32", "(i32.const {}) (i32.const 0)"),
    ],
)
async def test_an_address_outside_its_memory_is_a_fault_of_the_guest(
    runner: SandboxRunner, name: str, parameters: str, arguments: str, address: int
) -> None:
    with pytest.raises(GuestCrashed):
        await runner.run(wasm_calling(name, parameters, arguments.format(address)))


async def test_a_module_that_hides_its_memory_has_no_host_functions(runner: SandboxRunner) -> None:
    module = """
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory 1)
  (func (export "_start") (if (call $random (i32.const 0) (i32.const 8)) (then unreachable))))
"""
    await fails_with(runner, wasm(module), GuestCrashed)


async def test_the_environment_is_empty_and_so_are_the_arguments(runner: SandboxRunner) -> None:
    result = await runner.run(
        python("import os, sys\ndef main(input): return [dict(os.environ), sys.argv, os.getcwd(), os.uname().nodename]")
    )

    assert [{}, ["main.py"], "/", "(none)"] == result.output


async def test_every_clock_shows_the_instant_of_the_request(runner: SandboxRunner) -> None:
    clocks = ("time", "monotonic", "perf_counter", "process_time")
    request = python_doing(f"return [{', '.join(f'time.{clock}_ns()' for clock in clocks)}]")

    for_python = await runner.run(request)
    for_javascript = await runner.run(javascript("function main() { return [Date.now(), performance.now()]; }"))

    assert [request.now_nanoseconds, 0, 0, 0] == for_python.output
    assert [NOW.timestamp() * 1000, 0] == for_javascript.output


async def test_sleep_moves_the_guests_clock_and_takes_no_time(runner: SandboxRunner) -> None:
    request = python_doing("time.sleep(86_400); return [time.time_ns(), time.monotonic_ns()]")

    result = await runner.run(request)

    day = 86_400 * 10**9
    assert [request.now_nanoseconds + day, day] == result.output


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("while True: pass", SHORT),
        python_doing("while True: time.sleep(1000)", SHORT),
        javascript_doing("for (;;);", SHORT),
        javascript_doing("return new Promise(() => {});", SHORT),
        javascript_doing("return /(a+)+$/.test('a'.repeat(64) + 'b');", SHORT),
        wasm('(module (func (export "_start") (loop $on (br $on))))', limits=SHORT),
        wasm('(module (func $on (loop $on (br $on))) (func (export "_start")) (start $on))', limits=SHORT),
    ],
)
async def test_an_endless_loop_runs_out_of_fuel(runner: SandboxRunner, request_: CodeRequest) -> None:
    await fails_with(runner, request_, OutOfFuel)


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("while True: pass", BRIEF),
        javascript_doing("for (;;);", BRIEF),
        wasm('(module (func (export "_start") (loop $on (br $on))))', limits=BRIEF),
    ],
)
async def test_an_endless_loop_with_fuel_for_days_runs_out_of_time(
    runner: SandboxRunner, request_: CodeRequest
) -> None:
    await fails_with(runner, request_, OutOfTime)


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("return len(bytearray(1 << 30))", MEMORY),
        python_doing("found = []\n    while True: found.append(bytearray(1 << 20))", MEMORY),
        python_doing("found = 'x'\n    while True: found += found", MEMORY),
        javascript_doing("const found = []; for (;;) found.push(new Uint8Array(1e6));", MEMORY),
        javascript_doing("const found = []; for (;;) found.push({ a: found.length });", MEMORY),
    ],
)
async def test_a_memory_bomb_runs_out_of_memory(runner: SandboxRunner, request_: CodeRequest) -> None:
    await fails_with(runner, request_, OutOfMemory)


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("return (lambda again: again(again))(lambda again: again(again))"),
        python(DEEP_IN_C),
        python_doing("return eval('(' * 1000 + ')' * 1000)"),
        javascript_doing("return main() + 1;"),
    ],
)
async def test_endless_recursion_runs_out_of_stack(runner: SandboxRunner, request_: CodeRequest) -> None:
    await fails_with(runner, request_, StackExhausted)


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("while True: os.write(1, b'x' * 10_000)"),
        python_doing("return ['x' * 1000] * 1000"),
        javascript_doing("return new Array(1e5).fill('x'.repeat(100));"),
        wasm("""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\00\\00\\00\\00\\00\\80\\00\\00")
  (func (export "_start")
    (loop $on (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br $on))))
"""),
    ],
)
async def test_a_giant_output_is_cut_off_while_it_is_written(runner: SandboxRunner, request_: CodeRequest) -> None:
    await fails_with(runner, request_, OutputTooLarge)


@pytest.mark.parametrize(
    "request_",
    [
        python_doing("for _ in range(1000): print('x' * 1000)"),
        python_doing("sys.stderr.write('x' * 1_000_000)"),
        javascript_doing("for (let count = 0; count < 1000; count++) console.log('x'.repeat(1000)); return null;"),
    ],
)
async def test_a_giant_log_is_cut_and_the_run_goes_on(runner: SandboxRunner, request_: CodeRequest) -> None:
    result = await runner.run(request_)

    kept, _, note = result.logs.partition("\n… ")
    assert (None, MOST_LOG_BYTES) == (result.output, len(result.logs) - len("\n… ") - len(note))
    assert kept.startswith("xxx")
    assert note.endswith("bytes more were cut")


async def test_an_answer_that_the_code_forges_is_no_more_than_its_own(runner: SandboxRunner) -> None:
    forged = python_doing(
        'os.write(1, b\'\\x1eagentflow-answer\\x1e\' + b\'{"kind": [], "reason": 7, "traceback": {}}\'); os._exit(0)'
    )
    nonsense = python_doing("os.write(1, b'\\x1eagentflow-answer\\x1e' + b'[' * 50_000); os._exit(0)")

    with pytest.raises(GuestRaised):
        await runner.run(forged)
    with pytest.raises(CodeError):
        await runner.run(nonsense)
