from dataclasses import replace

import pytest

from activities.sandbox.interpreters import ANSWER_MARK, JAVASCRIPT, PYTHON, Interpreter
from activities.sandbox.python_program import MARK
from agentflow.errors import ConfigurationError

INTERPRETERS = pytest.mark.parametrize("interpreter", [PYTHON, JAVASCRIPT], ids=lambda it: it.distribution)


@INTERPRETERS
def test_what_is_installed_is_what_was_tried(interpreter: Interpreter) -> None:
    assert b"\x00asm" == interpreter.read_module()[:4]


@INTERPRETERS
def test_another_module_of_the_same_name_is_refused(interpreter: Interpreter) -> None:
    expecting_another = replace(interpreter, module_digest="0" * 64)

    with pytest.raises(ConfigurationError, match="than the one that AgentFlow was tried with"):
        expecting_another.read_module()


@INTERPRETERS
@pytest.mark.parametrize(
    "missing", [{"distribution": "not-installed"}, {"path_in_distribution": "no/such.wasm"}], ids=str
)
def test_a_module_that_is_not_there_is_told_with_its_package(interpreter: Interpreter, missing: dict[str, str]) -> None:
    broken = replace(interpreter, **missing)

    with pytest.raises(ConfigurationError, match=broken.distribution):
        broken.read_module()


def test_a_change_of_the_module_or_of_the_program_changes_the_digest() -> None:
    digests = {
        PYTHON.digest,
        replace(PYTHON, module_digest="0" * 64).digest,
        replace(PYTHON, program=JAVASCRIPT.program).digest,
        JAVASCRIPT.digest,
    }

    assert 4 == len(digests)


def test_host_and_guests_know_the_same_mark() -> None:
    assert ANSWER_MARK == MARK
    assert ANSWER_MARK.decode().strip("\x1e") in JAVASCRIPT.program_text
