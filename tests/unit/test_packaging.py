import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
OWN_DISTRIBUTION = "agentflow-platform"
#: Importable where the repository is, and shipped to no one.
NOT_SHIPPED = {"tests", "bench"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def shipped(project: dict[str, Any]) -> set[str]:
    return set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_the_root_packages_that_ship_are_those_that_are_there(project: dict[str, Any]) -> None:
    importable = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert importable - NOT_SHIPPED == shipped(project)


def test_no_other_distribution_owns_the_name_of_one_of_our_packages(project: dict[str, Any]) -> None:
    owners = packages_distributions()

    foreign = {
        name: others
        for name in shipped(project)
        if (others := {owner for owner in owners.get(name, []) if owner != OWN_DISTRIBUTION})
    }

    assert {} == foreign


def test_the_source_distribution_holds_every_package(project: dict[str, Any]) -> None:
    included = set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])

    assert {f"/{name}" for name in shipped(project)} <= included


def test_every_tool_knows_every_package(project: dict[str, Any]) -> None:
    tools = project["tool"]

    assert shipped(project) == set(tools["importlinter"]["root_packages"])
    assert shipped(project) <= set(tools["mypy"]["packages"])
    assert shipped(project) <= set(tools["ruff"]["lint"]["isort"]["known-first-party"])


def test_what_is_put_into_the_wheel_beside_the_packages_is_there(project: dict[str, Any]) -> None:
    for source in project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]:
        assert (ROOT / source).exists()
