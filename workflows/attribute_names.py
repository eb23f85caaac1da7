"""The names of our search attributes, which whoever sets a cluster up must know; every one is a keyword."""

WORKFLOW = "AgentflowWorkflow"
VERSION = "AgentflowVersion"
ORGANISATION = "AgentflowOrganisation"
OUTCOME = "AgentflowOutcome"
FAILED_NODE = "AgentflowFailedNode"

ATTRIBUTE_NAMES = (WORKFLOW, VERSION, ORGANISATION, OUTCOME, FAILED_NODE)


def creation_arguments(names: tuple[str, ...] = ATTRIBUTE_NAMES) -> list[str]:
    """What the `temporal` program is called with to create them; those that are there stay."""
    options = [part for name in names for part in ("--name", name, "--type", "Keyword")]
    return ["operator", "search-attribute", "create", *options]
