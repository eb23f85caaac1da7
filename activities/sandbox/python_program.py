"""Runs inside the sandbox, in CPython for WASI: calls the stranger's `main` and writes what came of it.

It is no part of the wall around the code, which is the host's: it only puts an end into words. Standard input
holds `source` and `input`; the answer follows the mark in standard output. Everything printed goes to the logs.

Imports are what a run of some 50 ms mostly costs, so `json`, `typing` and `traceback` are left out where nothing
failed: this program runs in one build of CPython, whose `_json` is known.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring, make_encoder, make_scanner
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FILE = "main.py"
MARK = b"\x1eagentflow-answer\x1e"
LONGEST_TEXT = 2000
LOGS = sys.stderr
#: The modules whose missing functions are what an operating system would give.
SYSTEM_MODULES = {"os", "posix", "signal", "time", "socket", "_socket", "shutil"}


class Decoding:
    """What a `json.JSONDecoder` tells the scanner."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def refuse(value: object) -> NoReturn:
    """Says what cannot be said in JSON, in `json`'s words."""
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def answer(kind: str, **facts: Any) -> NoReturn:
    """Writes the answer and leaves, before anything else of the stranger's can run."""
    encode = make_encoder({}, refuse, encode_basestring, None, ":", ",", False, False, False)
    text = "".join(encode({"kind": kind, **facts}, 0))
    write(text.encode("utf-8", errors="surrogatepass"))


def write(content: bytes) -> NoReturn:
    """Puts the answer out and ends the guest."""
    try:  # noqa: SIM105  # contextlib would cost the guest an import
        LOGS.flush()
    except (OSError, ValueError):
        # The stranger closed it; the answer goes out all the same.
        pass
    rest = memoryview(MARK + content)
    while rest:
        rest = rest[os.write(1, rest) :]
    os._exit(0)


def short(text: str) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def describe(error: BaseException) -> str:
    """`ValueError: bad`, also for an exception that cannot say what it is."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # the stranger's own __str__
        words = "(its text cannot be had)"
    return short(f"{type(error).__name__}: {words}" if words else type(error).__name__)


def traceback_of(error: BaseException, source: str) -> str:
    """The stranger's frames, with their lines."""
    import linecache
    import traceback

    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    try:
        frames = traceback.TracebackException.from_exception(error, limit=-20)
        frames.stack = traceback.StackSummary.from_list([frame for frame in frames.stack if frame.filename == FILE])
        return short("".join(frames.format()))
    except Exception:  # noqa: BLE001  # the stranger's own __str__, or a full memory
        return ""


def is_denied(error: BaseException) -> bool:
    """Whether it is what the sandbox's empty world answers: every errno comes from there."""
    if isinstance(error, OSError):
        return error.errno is not None
    if isinstance(error, AttributeError):
        return isinstance(error.obj, ModuleType) and error.obj.__name__ in SYSTEM_MODULES
    if isinstance(error, ImportError):
        return error.name in sys.stdlib_module_names
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


def fail(error: BaseException, source: str) -> NoReturn:
    """Puts an exception into words."""
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    is_parser_full = isinstance(error, MemoryError) and "too complex" in str(error)
    if isinstance(error, MemoryError) and not is_parser_full:
        write(b'{"kind":"memory"}')
    if isinstance(error, RecursionError) or is_parser_full:
        answer("recursion", reason=describe(error))
    kind = "denied" if is_denied(error) else "raised"
    answer(kind, reason=describe(error), traceback=traceback_of(error, source))


def run() -> NoReturn:
    """Reads, compiles, calls, answers."""
    scan = make_scanner(Decoding())  # type: ignore[arg-type]  # typeshed names the scanner instead of its context
    request, _ = scan(sys.stdin.buffer.read().decode("utf-8", errors="surrogatepass"), 0)
    source = request["source"]
    sys.stdout = LOGS
    sys.argv = [FILE]
    try:
        program = compile(source, FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else describe(error)
        answer("syntax", reason=short(f"{reason}{where}"))
    module = ModuleType("main")
    module.__file__ = FILE
    sys.modules["main"] = module
    try:
        exec(program, module.__dict__)  # noqa: S102  # what the sandbox is for
        main = module.__dict__.get("main")
        if not callable(main):
            answer("no_main")
        output = main(request["input"])
    except BaseException as error:  # noqa: BLE001  # the edge of the stranger's code, sys.exit included
        fail(error, source)
    try:
        answer("output", output=output)
    except MemoryError as error:
        fail(error, source)
    except (TypeError, ValueError, RecursionError) as error:
        answer("not_json", reason=describe(error))


if __name__ == "__main__":
    run()
