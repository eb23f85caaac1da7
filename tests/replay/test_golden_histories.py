"""Runs that older code began are finished by this code: every golden history replays without a difference."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from tests.replay.examples import EXAMPLES
from tests.replay.record import HISTORIES, RECIPES
from workflows.replay_gate import ReplayFailure, ReplayGate
from workflows.worker import WORKFLOWS

_FILES = sorted(HISTORIES.glob("*.json"))


@pytest.fixture(scope="module")
def gate() -> ReplayGate:
    return ReplayGate(WORKFLOWS, sandboxed=True)


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def history_of(document: dict[str, Any]) -> WorkflowHistory:
    return WorkflowHistory.from_json(document["workflow_id"], document["history"])


def test_every_recipe_has_its_golden_history() -> None:
    assert set(RECIPES) <= {path.stem for path in _FILES}


def test_every_example_has_its_golden_history() -> None:
    examples = {path.parent.name for path in EXAMPLES.glob("*/workflow.yaml")}

    assert {f"example_{name}" for name in examples} <= {path.stem for path in _FILES}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
async def test_a_golden_history_replays(gate: ReplayGate, path: Path) -> None:
    assert await gate.replay(history_of(read(path))) is None


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_golden_history_names_no_machine(path: Path) -> None:
    identities = {
        attributes["identity"]
        for event in read(path)["history"]["events"]
        for attributes in event.values()
        if isinstance(attributes, dict) and "identity" in attributes
    }

    assert identities <= {"recorder", "history-service"}


async def test_a_history_that_asks_for_another_activity_is_found_out(gate: ReplayGate) -> None:
    document = read(HISTORIES / "chain.json")
    scheduled = [event for event in document["history"]["events"] if "activityTaskScheduledEventAttributes" in event]
    scheduled[1]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "another"

    expected = ReplayFailure(
        workflow_id=document["workflow_id"],
        run_id=history_of(document).run_id,
        # The completed workflow task that scheduled the activity.
        event_id=int(scheduled[1]["eventId"]) - 1,
        cause="[TMPRL1100] Nondeterminism error: Activity type of scheduled event 'another' does not match "
        "activity type of activity command 'run_function'",
    )
    assert expected == await gate.replay(history_of(document))


async def test_a_workflow_that_this_code_does_not_have_is_found_out(gate: ReplayGate) -> None:
    document = read(HISTORIES / "chain.json")
    started = document["history"]["events"][0]["workflowExecutionStartedEventAttributes"]
    started["workflowType"]["name"] = "Gone"

    failure = await gate.replay(history_of(document))

    assert failure is not None
    assert 4 == failure.event_id
    assert failure.cause.startswith("Workflow class Gone is not registered on this worker")
