import importlib
import re
from pathlib import Path

import pytest

from agentflow import errors as kernel
from agentflow.errors import AgentflowError, BlobCorrupt, BlobNotFound, leaf_errors
from cas.errors import ProviderError
from runs import errors as runs
from runs.errors import RunsError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def _every_error_is_imported() -> None:
    shipped = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / "tests", ROOT / "bench"}
    files = {path for package in shipped for path in package.rglob("errors.py")} | {ROOT / "agentflow" / "client.py"}
    for path in sorted(files):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def all_errors(root: type[AgentflowError] = AgentflowError) -> set[type[AgentflowError]]:
    """The tree from `root` on, without what other tests may have defined."""
    children = [child for child in root.__subclasses__() if not child.__module__.startswith("tests.")]
    return {root}.union(*(all_errors(child) for child in children))


def test_every_error_of_a_package_is_a_leaf_of_its_base() -> None:
    defined = {value for value in vars(runs).values() if isinstance(value, type) and issubclass(value, RunsError)}

    assert defined - {RunsError} == set(leaf_errors(RunsError))


def test_a_class_with_subclasses_is_no_leaf() -> None:
    leaves = leaf_errors()

    assert BlobNotFound in leaves
    assert not {AgentflowError, RunsError, ProviderError} & set(leaves)
    assert {error for error in all_errors() if not error.__subclasses__()} <= set(leaves)


def test_leaves_come_once_and_sorted_by_code() -> None:
    leaves = leaf_errors()

    assert sorted(leaf.code for leaf in leaves) == [leaf.code for leaf in leaves]
    assert len(set(leaves)) == len(leaves)


def test_every_error_has_a_code_of_its_own_that_is_dotted_and_lower_case() -> None:
    codes = [error.code for error in all_errors()]

    assert len(set(codes)) == len(codes)
    for error in all_errors():
        assert "code" in vars(error), error
        assert re.fullmatch(r"[a-z][a-z_]*\.[a-z][a-z_]*", error.code), error


def test_every_error_has_a_docstring_of_its_own() -> None:
    assert not [error for error in all_errors() if not vars(error).get("__doc__")]


def test_every_package_with_a_base_of_its_own_stands_in_the_tree_that_is_drawn() -> None:
    drawn = str(kernel.__doc__)

    for base in all_errors() & set(AgentflowError.__subclasses__()):
        assert f" {base.__name__} " in drawn or f" {base.__module__}.{base.__name__}" in drawn, base


@pytest.mark.parametrize("error_class", [BlobNotFound, BlobCorrupt])
def test_an_error_of_a_blob_holds_and_quotes_its_digest(error_class: type[BlobNotFound | BlobCorrupt]) -> None:
    error = error_class(digest="ab12")

    assert error.digest == "ab12"
    assert "'ab12'" in str(error)
