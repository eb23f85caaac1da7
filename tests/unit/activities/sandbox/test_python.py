import pytest

from activities.sandbox.errors import GuestRaised, MainMissing, OutputInvalid, OutputTooLarge, SourceInvalid
from activities.sandbox.runner import SandboxRunner
from agentflow.digest import Json
from tests.unit.activities.sandbox.requests import python


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -7, 1.5, 10**30, "", "é\U0001f600\x00\n", [], [1, [2, [3]]], {}, {"a": {"b": [None, False]}}],
    ids=repr,
)
async def test_main_gets_the_input_and_its_result_is_the_output(runner: SandboxRunner, value: Json) -> None:
    result = await runner.run(python("def main(input): return input", input=value))

    assert value == result.output


async def test_code_may_use_the_standard_library(runner: SandboxRunner) -> None:
    source = """
import collections, decimal, hashlib, json, math, re, statistics
from dataclasses import asdict, dataclass

@dataclass
class Count:
    word: str
    count: int

def main(input):
    words = re.findall(r"\\w+", input["text"].lower())
    return [asdict(Count(*pair)) for pair in collections.Counter(words).most_common(1)]
"""
    result = await runner.run(python(source, input={"text": "To be or not to be, to"}))

    assert [{"word": "to", "count": 3}] == result.output


async def test_what_is_printed_is_in_the_logs_and_not_in_the_output(runner: SandboxRunner) -> None:
    source = """
import os, sys
def main(input):
    print("one", {"a": 1})
    print("two", file=sys.stderr)
    os.write(1, b"five")
    print("three", end="")
    return "four"
"""
    result = await runner.run(python(source))

    assert ("four", "one {'a': 1}\ntwo\nthreefive") == (result.output, result.logs)


async def test_a_run_tells_what_it_used(runner: SandboxRunner) -> None:
    result = await runner.run(python("def main(input): return 1"))

    assert 100_000_000 < result.fuel_used < 1_000_000_000
    assert 0 < result.seconds < 30


async def test_an_exception_comes_with_the_lines_of_the_source_and_no_others(runner: SandboxRunner) -> None:
    source = "def main(input):\n    return divide(input)\n\ndef divide(by):\n    return 1 / by\n"

    with pytest.raises(GuestRaised) as raised:
        await runner.run(python(source, input=0))

    assert "ZeroDivisionError: division by zero" == raised.value.reason
    assert ["main.py", "main.py"] == [
        line.split('"')[1] for line in raised.value.traceback.splitlines() if line.lstrip().startswith("File")
    ]
    assert "return 1 / by" in raised.value.traceback
    assert "code.raised" == raised.value.code


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("raise ValueError('x' * 100_000)", "ValueError: xxx"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "E: (its text cannot be had)"),
        ("raise OSError('of its own making')", "OSError: of its own making"),
    ],
)
async def test_whatever_is_raised_is_told_briefly(runner: SandboxRunner, statement: str, reason: str) -> None:
    with pytest.raises(GuestRaised) as raised:
        await runner.run(python(f"def main(input):\n    {statement}\n"))

    assert raised.value.reason.startswith(reason)
    assert len(str(raised.value)) < 6_000


@pytest.mark.parametrize("source", ["def main(input)\n    return 1", "\x00", "(" * 500 + ")" * 500])
async def test_a_source_that_does_not_compile_is_told_so(runner: SandboxRunner, source: str) -> None:
    with pytest.raises(SourceInvalid, match="the source is not valid Python"):
        await runner.run(python(source))


async def test_the_line_of_a_syntax_error_is_told(runner: SandboxRunner) -> None:
    with pytest.raises(SourceInvalid) as refusal:
        await runner.run(python("x = 1\ndef main(input)\n    return 1"))

    assert "expected ':' (line 2)" == refusal.value.reason


@pytest.mark.parametrize("source", ["", "main = 1", "def other(input): return 1"])
async def test_a_source_without_main_is_told_so(runner: SandboxRunner, source: str) -> None:
    with pytest.raises(MainMissing, match=r"def main\(input\):"):
        await runner.run(python(source))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{1, 2}", "Object of type set is not JSON serializable"),
        ("float('nan')", "not JSON compliant"),
        ("(lambda found: found.append(found) or found)([])", "Circular reference"),
        ("__import__('functools').reduce(lambda inner, _: [inner], range(100_000), 1)", "RecursionError"),
        ("10 ** 5000", "4300 digits"),
    ],
)
async def test_an_output_that_json_cannot_say_is_refused(runner: SandboxRunner, expression: str, reason: str) -> None:
    with pytest.raises(OutputInvalid, match=reason):
        await runner.run(python(f"def main(input): return {expression}"))


@pytest.mark.parametrize("size", [100 * 1024, 10 * 1024 * 1024])
async def test_an_output_over_the_limit_is_refused(runner: SandboxRunner, size: int) -> None:
    with pytest.raises(OutputTooLarge) as refusal:
        await runner.run(python(f"def main(input): return 'x' * {size}"))

    assert 64 * 1024 == refusal.value.limit_bytes
