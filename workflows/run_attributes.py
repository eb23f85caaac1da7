"""What Temporal's lists of workflows can be searched by: search attributes of runs, and of the shards of their maps.

They are set when a run starts, and once more when it ends. A workflow decides by what its own start carried: what was
left out there, because the cluster does not know it, is not written later either.
"""

from collections.abc import Sequence

from temporalio.common import SearchAttributeKey, SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes

from workflows import attribute_names

WORKFLOW = SearchAttributeKey.for_keyword(attribute_names.WORKFLOW)
VERSION = SearchAttributeKey.for_keyword(attribute_names.VERSION)
ORGANISATION = SearchAttributeKey.for_keyword(attribute_names.ORGANISATION)
OUTCOME = SearchAttributeKey.for_keyword(attribute_names.OUTCOME)
FAILED_NODE = SearchAttributeKey.for_keyword(attribute_names.FAILED_NODE)
RUN_ATTRIBUTES: tuple[SearchAttributeKey[str], ...] = (WORKFLOW, VERSION, ORGANISATION, OUTCOME, FAILED_NODE)

RUNNING = "running"
#: The failed node of a run that has none; no node has this id.
NO_NODE = "-"


def attributes_of_run(*, org_id: str, workflow_name: str, workflow_version: str) -> TypedSearchAttributes:
    """Of a run that starts."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(WORKFLOW, workflow_name),
            SearchAttributePair(VERSION, workflow_version),
            SearchAttributePair(ORGANISATION, org_id),
            SearchAttributePair(OUTCOME, RUNNING),
            SearchAttributePair(FAILED_NODE, NO_NODE),
        ]
    )


def attributes_of_child(own: TypedSearchAttributes, *, org_id: str, name: str) -> TypedSearchAttributes:
    """Of a run below one that has `own`; `name` is as `summary_of` gives it."""
    workflow_name, _, version = name.rpartition(" version ")
    wanted = attributes_of_run(org_id=org_id, workflow_name=workflow_name, workflow_version=version)
    return only(wanted, [pair.key.name for pair in own])


def attributes_of_shard(own: TypedSearchAttributes) -> TypedSearchAttributes:
    """Of a part of a map: it has no outcome of its own."""
    return only(own, [key.name for key in (WORKFLOW, VERSION, ORGANISATION)])


def ending(own: TypedSearchAttributes, *, outcome: str, failed_node: str | None) -> list[SearchAttributeUpdate[str]]:
    """What changes when a run ends whose start carried `own`."""
    known = {pair.key.name for pair in own}
    values = ((OUTCOME, outcome), (FAILED_NODE, failed_node or NO_NODE))
    return [key.value_set(value) for key, value in values if key.name in known]


def only(attributes: TypedSearchAttributes, names: Sequence[str]) -> TypedSearchAttributes:
    """Those of `attributes` that have one of the `names`."""
    return TypedSearchAttributes([pair for pair in attributes if pair.key.name in names])


def summary_of(*, name: str, version: int) -> str:
    """The line that a run has in Temporal's lists."""
    return f"{name} version {version}"
