import graphlib
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, wherever in the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    graph = grimp.build_graph(*project["tool"]["importlinter"]["root_packages"], cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def test_the_graph_of_imports_holds_our_modules(imports: dict[str, set[str]]) -> None:
    assert "agentflow.digest" in imports["agentflow.blobs"]
    assert "runs.errors" in imports["runs.journal_repository"]


def test_no_import_leads_back_to_where_it_began(imports: dict[str, set[str]]) -> None:
    order = tuple(graphlib.TopologicalSorter(imports).static_order())  # raises CycleError, which shows the cycle

    assert set(imports) == set(order)
