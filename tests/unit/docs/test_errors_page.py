"""docs/errors.md names every code that servers and runs can give, and no other."""

import ast
import re
from collections.abc import Iterator

import pytest

from activities.retry_posture import POSTURES, Posture
from activities.step_retries import is_excused
from agentflow.errors import AgentflowError
from api.error_responses import STATUSES, error_response
from tests.unit.docs.pages import ROOT, table_rows

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
#: Never told to anybody: one workflow's word to a service, and a mark of an agent's turn.
INTERNAL = {"agent.not_called", "gate.not_open"}
#: Calls that make an error of a code which has no class.
MAKERS = {"NodeFailed", "Failure", "ApplicationError", "problem_response", "_refuse", "Ending"}
_CODE = re.compile(r"[a-z]+\.[a-z_]+")


def rows() -> dict[str, list[str]]:
    found = [row for row in table_rows(PAGE) if len(row) == 5 and row[0].startswith("`")]
    assert len({row[0] for row in found}) == len(found), "a code stands twice"
    return {row[0].strip("`"): row[1:] for row in found}


def calls(package: str) -> Iterator[ast.Call]:
    for file in sorted((ROOT / package).rglob("*.py")):
        yield from (
            node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        )


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def texts_of(call: ast.Call) -> Iterator[str]:
    for part in (*call.args, *(keyword.value for keyword in call.keywords)):
        for node in ast.walk(part):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def codes_without_a_class() -> set[str]:
    made = {
        text
        for package in ("api", "workflows", "activities")
        for call in calls(package)
        if name_of(call) in MAKERS
        for text in texts_of(call)
        if _CODE.fullmatch(text)
    }
    assert len(made) > 15
    return made - INTERNAL


def is_waited_for(error_class: type[AgentflowError]) -> bool:
    return is_excused(error_class.__new__(error_class))


@pytest.mark.parametrize("error_class", STATUSES, ids=lambda error_class: error_class.code)
def test_the_page_says_of_every_error_its_status_and_whether_a_step_comes_again(
    error_class: type[AgentflowError],
) -> None:
    row = rows().get(error_class.code)
    assert row is not None, f"docs/errors.md lacks {error_class.code}: {error_class.__doc__}"
    posture = POSTURES.get(error_class)
    again = "" if posture is None else "no" if posture is Posture.FAIL else "yes"

    means, what_to_do, *facts = row
    assert means.endswith(".")
    assert what_to_do.endswith(".")
    assert [str(STATUSES[error_class]), "waits" if is_waited_for(error_class) else again] == facts


@pytest.mark.parametrize("error_class", [error for error, status in STATUSES.items() if status in {429, 503}])
def test_every_429_and_503_says_when_to_come_again(error_class: type[AgentflowError]) -> None:
    response = error_response(error_class.__new__(error_class))

    assert int(response.headers["Retry-After"]) >= 1


def test_the_page_has_the_codes_that_have_no_class() -> None:
    assert set() == codes_without_a_class() - set(rows())


def test_every_code_of_the_page_exists() -> None:
    sources = "".join(
        file.read_text(encoding="utf-8")
        for package in (
            "api",
            "workflows",
            "activities",
            "runs",
            "promptops",
            "scl",
            "cas",
            "observability",
            "agentflow",
        )
        for file in sorted((ROOT / package).rglob("*.py"))
    )

    assert [] == [code for code in rows() if f'"{code}"' not in sources]


def test_the_page_has_every_problem_of_a_document_and_the_stars_are_right() -> None:
    from workflows.errors import REGISTRATION_RULES

    _, _, section = PAGE.partition("## Problems of a document")
    listed = {
        code: bool(star)
        for row in table_rows(section)
        if len(row) == 2
        for code, star in re.findall(r"`(\w+)`( \*)?", row[0])
    }
    told = {
        text
        for call in calls("workflows")
        if name_of(call) in {"problem", "_add", "SpecProblem"}
        for text in texts_of(
            ast.Call(func=call.func, args=call.args[:1], keywords=[k for k in call.keywords if k.arg == "code"])
        )
        if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)
    } - {"id"}

    assert set() == told - set(listed)
    assert {code for code, is_starred in listed.items() if is_starred} == set(REGISTRATION_RULES)
