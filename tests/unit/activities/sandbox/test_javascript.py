import pytest

from activities.sandbox.errors import GuestRaised, MainMissing, OutputInvalid, OutputTooLarge, SourceInvalid
from activities.sandbox.runner import SandboxRunner
from agentflow.digest import Json
from tests.unit.activities.sandbox.requests import javascript


@pytest.mark.parametrize(
    "source",
    [
        "function main(input) { return input; }",
        "export function main(input) { return input; }",
        "export default (input) => input;",
        "const main = (input) => input; // and no line after it",
        "async function main(input) { await null; return input; }",
    ],
)
async def test_main_may_be_written_in_any_way(runner: SandboxRunner, source: str) -> None:
    result = await runner.run(javascript(source, input={"a": [1]}))

    assert {"a": [1]} == result.output


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -7, 1.5, "", "é\U0001f600\x00\n`${}", [1, [2]], {"__proto__": 1, "a": {"b": [None]}}],
    ids=repr,
)
async def test_the_input_arrives_as_it_is_and_so_does_the_output(runner: SandboxRunner, value: Json) -> None:
    result = await runner.run(javascript("function main(input) { return input; }", input=value))

    assert value == result.output


async def test_what_is_printed_is_in_the_logs_and_not_in_the_output(runner: SandboxRunner) -> None:
    source = """
function main() {
  console.log("one", { a: 1 });
  console.error(undefined, null);
  print("two");
  return "three";
}
"""
    result = await runner.run(javascript(source))

    assert ("three", 'one {"a":1}\nundefined null\ntwo\n') == (result.output, result.logs)


async def test_an_exception_comes_with_the_lines_of_the_source(runner: SandboxRunner) -> None:
    with pytest.raises(GuestRaised) as raised:
        await runner.run(javascript("function main(input) {\n  return input.missing.deeper;\n}", input={}))

    assert raised.value.reason.startswith("TypeError: cannot read property 'deeper' of undefined")
    assert "/main.js:2" in raised.value.traceback


@pytest.mark.parametrize(
    ("statement", "reason"),
    [("throw null", "null"), ("throw 'x'.repeat(1e5)", "xxx"), ("throw {toString() { throw 1 }}", "(its")],
)
async def test_whatever_is_thrown_is_told_briefly(runner: SandboxRunner, statement: str, reason: str) -> None:
    with pytest.raises(GuestRaised) as raised:
        await runner.run(javascript(f"function main() {{ {statement} }}"))

    assert raised.value.reason.startswith(reason)
    assert len(str(raised.value)) < 6_000


async def test_a_source_that_does_not_compile_is_told_so(runner: SandboxRunner) -> None:
    with pytest.raises(SourceInvalid, match=r"not valid JavaScript: .*\n.*main.js:1"):
        await runner.run(javascript("function main( { return 1; }"))


async def test_a_source_without_main_is_told_so(runner: SandboxRunner) -> None:
    with pytest.raises(MainMissing, match="function main"):
        await runner.run(javascript("const other = 1;"))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("undefined", "main returned undefined"),
        ("() => 1", "main returned function"),
        ("10n", "BigInt"),
        ("(() => { const found = {}; found.found = found; return found; })()", "circular"),
    ],
)
async def test_an_output_that_json_cannot_say_is_refused(runner: SandboxRunner, expression: str, reason: str) -> None:
    with pytest.raises(OutputInvalid, match=reason):
        await runner.run(javascript(f"function main() {{ return {expression}; }}"))


@pytest.mark.parametrize("size", [100 * 1024, 1024 * 1024])
async def test_an_output_over_the_limit_is_refused(runner: SandboxRunner, size: int) -> None:
    with pytest.raises(OutputTooLarge):
        await runner.run(javascript(f"function main() {{ return 'x'.repeat({size}); }}"))
