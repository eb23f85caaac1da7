"""Every error that a server can raise stands in the tables that translate errors at the edges."""

import importlib
from pathlib import Path

import pytest

from activities.retry_posture import POSTURES
from agentflow.errors import AgentflowError, leaf_errors
from api.error_responses import STATUSES

ROOT = Path(__file__).parents[2]
#: Raised by the command line and by user programs; no server knows them.
NOT_OF_SERVERS = ("cli.", "agentflow.client", "tests.")
#: Raised where no activity can: before a run is recorded, and before a request reaches a service.
NOT_OF_ACTIVITIES = ("api.errors", "workflows.errors")


@pytest.fixture(scope="module")
def leaves() -> set[type[AgentflowError]]:
    """The leaves that servers can raise, of every module that defines errors."""
    shipped = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / "tests", ROOT / "bench"}
    files = {path for package in shipped for path in package.rglob("errors.py")} | {ROOT / "agentflow" / "client.py"}
    for path in sorted(files):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return {leaf for leaf in leaf_errors() if not leaf.__module__.startswith(NOT_OF_SERVERS)}


def test_every_error_has_a_status_of_http_and_every_status_an_error(leaves: set[type[AgentflowError]]) -> None:
    assert len(leaves) > 50
    assert leaves == set(STATUSES)
    assert all(400 <= status <= 599 for status in STATUSES.values())


def test_every_error_of_an_activity_has_a_posture_and_every_posture_an_error(leaves: set[type[AgentflowError]]) -> None:
    of_activities = {leaf for leaf in leaves if leaf.__module__ not in NOT_OF_ACTIVITIES}

    assert of_activities == set(POSTURES)
    assert len(of_activities) < len(leaves)
