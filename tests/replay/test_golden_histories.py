"""Runs that older code began are finished by this code: every golden history replays without a difference."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.replay.record import HISTORIES, RECIPES
from workflows.worker import WORKFLOWS

_FILES = sorted(HISTORIES.glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def history_of(document: dict[str, Any]) -> WorkflowHistory:
    return WorkflowHistory.from_json(document["workflow_id"], document["history"])


def test_every_recipe_has_its_golden_history() -> None:
    assert set(RECIPES) <= {path.stem for path in _FILES}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
async def test_a_golden_history_replays(path: Path) -> None:
    await Replayer(workflows=WORKFLOWS).replay_workflow(history_of(read(path)))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_golden_history_names_no_machine(path: Path) -> None:
    identities = {
        attributes["identity"]
        for event in read(path)["history"]["events"]
        for attributes in event.values()
        if isinstance(attributes, dict) and "identity" in attributes
    }

    assert identities <= {"recorder", "history-service"}


async def test_a_history_that_asks_for_another_activity_is_found_out() -> None:
    document = read(HISTORIES / "chain.json")
    scheduled = [event for event in document["history"]["events"] if "activityTaskScheduledEventAttributes" in event]
    scheduled[1]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "another"

    with pytest.raises(NondeterminismError):
        await Replayer(workflows=WORKFLOWS).replay_workflow(history_of(document))
