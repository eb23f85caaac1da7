import re
from pathlib import Path

import pytest

from tests.unit.docs.command_line import commands_in, problem_with
from tests.unit.docs.pages import PAGES, ROOT, blocks, spans

TARGETS = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
_MAKE = re.compile(r"^(?:\w+=\S+ )*make ([a-z][a-z-]*)((?: [A-Z_]+=\S+)*)")
_MODULE = re.compile(r"\bpython -m ([a-z_.]+)")


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    problems = [
        f"{block}: agentctl {' '.join(words)}: {problem}"
        for block in blocks(page)
        for words in commands_in(block.text)
        if (problem := problem_with(words, is_whole=True)) is not None
    ]
    problems += [
        f"{page.name}: `{span}`: {problem}"
        for span in spans(page)
        for words in commands_in(span)
        if (problem := problem_with(words, is_whole=False)) is not None
    ]

    assert [] == problems


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_target_of_make_that_is_named_exists(page: Path) -> None:
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    named = [found[1] for text in (*lines, *spans(page)) if (found := _MAKE.match(text)) is not None]

    assert [] == [target for target in named if target not in TARGETS]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_module_that_is_started_exists(page: Path) -> None:
    named = set(_MODULE.findall(page.read_text(encoding="utf-8")))
    places = {name: ROOT.joinpath(*name.split(".")) for name in named}

    missing = [
        name
        for name, path in places.items()
        if not (path / "__main__.py").exists() and not path.with_suffix(".py").exists()
    ]
    assert [] == missing


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agentctl workflow list --runs   # the latest first", ["workflow", "list", "--runs"]),
        ("KEY=$(agentctl key create --org acme)", ["key", "create", "--org", "acme"]),
        ("A=b agentctl trace get RUN | head", ["trace", "get", "RUN"]),
        (
            "agentctl workflow event RUN 'paid 42' \\\n  --payload '{}'",
            ["workflow", "event", "RUN", "paid 42", "--payload", "{}"],
        ),
    ],
)
def test_a_command_is_read_as_a_shell_reads_it(line: str, words: list[str]) -> None:
    assert [words] == list(commands_in(line))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("workflow sumbit x", "there is no command 'sumbit'"),
        ("workflow submit x --bugdet 5", "No such option"),
        ("workflow output RUN", "Missing argument"),
        ("workflow graph --format png x", "is not one of"),
        ("trace get RUN --width 10", "is not in the range"),
        ("trace get RUN RUN", "takes no argument 'RUN'"),
        ("trace", "it names no command"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, problem: str) -> None:
    found = problem_with(line.split(), is_whole=True)

    assert found is not None
    assert problem in found
