from temporalio.common import TypedSearchAttributes

from workflows.attribute_names import ATTRIBUTE_NAMES
from workflows.attribute_registry import creation_command
from workflows.run_attributes import (
    FAILED_NODE,
    OUTCOME,
    attributes_of_child,
    attributes_of_run,
    attributes_of_shard,
    ending,
    only,
    summary_of,
)

OWN = attributes_of_run(org_id="org", workflow_name="letters", workflow_version="3")


def values(attributes: TypedSearchAttributes) -> dict[str, object]:
    return {pair.key.name.removeprefix("Agentflow"): pair.value for pair in attributes}


def test_a_run_starts_with_all_of_them() -> None:
    assert set(ATTRIBUTE_NAMES) == {pair.key.name for pair in OWN}
    assert {
        "Workflow": "letters",
        "Version": "3",
        "Organisation": "org",
        "Outcome": "running",
        "FailedNode": "-",
    } == values(OWN)


def test_a_run_below_has_its_own_name_and_no_attribute_that_the_one_above_lacks() -> None:
    above = only(OWN, ["AgentflowWorkflow", "AgentflowVersion"])

    below = attributes_of_child(above, org_id="org", name=summary_of(name="pages", version=12))

    assert {"Workflow": "pages", "Version": "12"} == values(below)


def test_a_shard_has_no_outcome() -> None:
    assert {"Workflow": "letters", "Version": "3", "Organisation": "org"} == values(attributes_of_shard(OWN))


def test_the_end_writes_only_what_the_start_carried() -> None:
    assert [OUTCOME.value_set("failed"), FAILED_NODE.value_set("ask")] == ending(
        OWN, outcome="failed", failed_node="ask"
    )
    assert [] == ending(TypedSearchAttributes.empty, outcome="failed", failed_node="ask")
    assert [FAILED_NODE.value_set("-")] == ending(
        only(OWN, ["AgentflowFailedNode"]), outcome="succeeded", failed_node=None
    )


def test_the_command_that_creates_them_can_be_pasted() -> None:
    assert (
        "temporal operator search-attribute create --name A --type Keyword --name B --type Keyword --namespace 'my ns'"
        == creation_command(["A", "B"], "my ns")
    )
