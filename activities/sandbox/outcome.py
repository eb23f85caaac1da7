"""What a guest's end means: a result, or the error that says what went wrong. Everything read here is a stranger's."""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from activities.sandbox.bounds import MOST_OUTPUT_VALUES
from activities.sandbox.errors import (
    AccessDenied,
    CodeError,
    GuestCrashed,
    GuestRaised,
    MainMissing,
    ModuleInvalid,
    OutOfFuel,
    OutOfMemory,
    OutOfTime,
    OutputInvalid,
    OutputTooIntricate,
    OutputTooLarge,
    SourceInvalid,
    StackExhausted,
)
from activities.sandbox.guest import End, Ending
from activities.sandbox.interpreters import ANSWER_MARK
from activities.sandbox.models import MOST_LOG_BYTES, CodeLanguage, CodeRequest, CodeResult
from agentflow.digest import Json, sha256_hex
from agentflow.large_values import canonical_json_in_pieces

_LONGEST_REASON = 1_000
_LONGEST_TRACEBACK = 4_000
_LONGEST_LAST_WORDS = 2_000
#: What an interpreter's answer takes beside the output: a kind, or an exception with its traceback.
ANSWER_OVERHEAD_BYTES = 32 * 1024

_WANTED = {
    CodeLanguage.PYTHON: "a function `def main(input):`",
    CodeLanguage.JAVASCRIPT: "a function `function main(input) {…}`",
    CodeLanguage.WASM: "an exported function `_start`, as every WASI command has",
}
#: A text without escapes, be it closed or not, or a sign before which or behind which a value stands.
_VALUE_SIGN = re.compile(rb'"[^"]*+"?|[\[{,]')
_QUOTE = ord('"')
#: An answer's own object, and its members beside the output.
_ANSWER_SIGNS = 8

_NAMES = {CodeLanguage.PYTHON: "Python", CodeLanguage.JAVASCRIPT: "JavaScript", CodeLanguage.WASM: "WebAssembly"}


def result_of(request: CodeRequest, ending: Ending, *, seconds: float) -> CodeResult:
    """The result of a guest that answered; raises the CodeError of one that did not."""
    if request.interpreter is None:
        output, printed = _module_output(request, ending), b""
    else:
        printed, mark, answer = ending.output.rpartition(ANSWER_MARK)
        if not mark:
            raise _failure(request, ending)
        output = _answered_output(request, ending, answer)
    limit, content = request.limits.output_bytes, _content_of(output)
    if len(content) > limit:
        raise OutputTooLarge(limit_bytes=limit)
    return CodeResult(
        output=output,
        output_digest=sha256_hex(content),
        logs=_logs(ending, printed),
        fuel_used=ending.fuel_used,
        seconds=round(seconds, 6),
    )


def _module_output(request: CodeRequest, ending: Ending) -> Json:
    if ending.end is End.RETURNED or (ending.end is End.EXITED and ending.exit_code == 0):
        return _parsed(ending.output)
    raise _failure(request, ending)


def _answered_output(request: CodeRequest, ending: Ending, content: bytes) -> Json:
    answer = _parsed(content)
    if not isinstance(answer, dict) or "kind" not in answer:
        raise _failure(request, ending)
    if answer["kind"] != "output":
        raise _answered_error(request, ending, answer)
    return answer.get("output")


def _answered_error(request: CodeRequest, ending: Ending, answer: Mapping[str, Json]) -> CodeError:
    reason = _bounded(answer.get("reason"), _LONGEST_REASON)
    traceback = _bounded(answer.get("traceback"), _LONGEST_TRACEBACK)
    errors: dict[Json, CodeError] = {
        "syntax": SourceInvalid(language=_NAMES[request.language], reason=reason),
        "no_main": MainMissing(wanted=_WANTED[request.language]),
        "memory": OutOfMemory(memory_bytes=request.limits.memory_bytes),
        "recursion": StackExhausted(reason=reason),
        "denied": AccessDenied(operation=reason, traceback=traceback),
        "not_json": OutputInvalid(reason=reason),
    }
    # QuickJS throws null where it lacks the memory for an error.
    if answer["kind"] == "raised" and reason == "null" and ending.is_memory_full:
        return errors["memory"]
    raised = GuestRaised(reason=reason, traceback=traceback)
    return errors.get(answer["kind"], raised) if isinstance(answer["kind"], str) else raised


def _failure(request: CodeRequest, ending: Ending) -> CodeError:
    """The error of a guest that did not come to an answer."""
    limits = request.limits
    errors: dict[End, CodeError] = {
        End.OUT_OF_FUEL: OutOfFuel(fuel=limits.fuel),
        End.STOPPED: OutOfTime(wall_seconds=limits.wall_seconds),
        End.OUTPUT_OVERFLOWED: OutputTooLarge(limit_bytes=limits.output_bytes),
        End.OUT_OF_MEMORY: OutOfMemory(memory_bytes=limits.memory_bytes),
        End.STACK_EXHAUSTED: StackExhausted(reason="its stack is full"),
        End.NOT_LINKABLE: ModuleInvalid(reason=_bounded(ending.reason, _LONGEST_REASON)),
        End.NO_ENTRY: MainMissing(wanted=_WANTED[request.language]),
    }
    return errors.get(ending.end) or _crash(request, ending)


def _crash(request: CodeRequest, ending: Ending) -> CodeError:
    last_words = ending.logs[-_LONGEST_LAST_WORDS:].decode("utf-8", errors="replace")
    if request.interpreter is not None:
        # An interpreter's own stack lies in its memory, below everything else.
        if ending.end is End.OUT_OF_BOUNDS:
            return StackExhausted(reason="its stack is full")
        if "MemoryError" in last_words or "out of memory" in last_words:
            return OutOfMemory(memory_bytes=request.limits.memory_bytes)
    elif ending.is_memory_full:
        return OutOfMemory(memory_bytes=request.limits.memory_bytes)
    elif ending.refusals:
        return AccessDenied(operation=", ".join(sorted(set(ending.refusals))), traceback=last_words)
    return GuestCrashed(reason=ending.reason or "it returned and had written none", logs=last_words)


def _parsed(content: bytes) -> Json:
    _check_values(content)
    try:
        value: Json = json.loads(content.decode("utf-8", errors="surrogatepass"), parse_constant=_refuse_constant)
    except RecursionError:
        raise OutputInvalid(reason="it nests too deep") from None
    except UnicodeDecodeError as error:
        raise OutputInvalid(reason=f"it is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        raise OutputInvalid(reason=str(error) if content.strip() else "it is empty") from None
    return value


def _check_values(content: bytes) -> None:
    """Counts before anything is parsed, since parsing cannot be stopped and lets no other thread run."""
    left = MOST_OUTPUT_VALUES + _ANSWER_SIGNS
    unescaped = content.replace(rb"\\", b"").replace(rb"\"", b"")
    for sign in _VALUE_SIGN.finditer(unescaped):
        if unescaped[sign.start()] != _QUOTE:
            left -= 1
            if left < 0:
                raise OutputTooIntricate(limit_values=MOST_OUTPUT_VALUES)


def _content_of(output: Json) -> bytes:
    try:
        return canonical_json_in_pieces(output)
    except (ValueError, RecursionError):
        raise OutputInvalid(reason="it nests too deep, or has a number that is out of range") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _logs(ending: Ending, printed: bytes) -> str:
    content = ending.logs + printed
    cut = ending.cut_log_bytes + max(0, len(content) - MOST_LOG_BYTES)
    text = content[:MOST_LOG_BYTES].decode("utf-8", errors="replace")
    return f"{text}\n… {cut:,} bytes more were cut" if cut else text


def _bounded(value: Json, longest: int) -> str:
    text = value if isinstance(value, str) else ""
    return text if len(text) <= longest else f"{text[:longest]}…"
