"""The few facts of a plan that recording and showing a run take: a plan can be megabytes, its outline is small."""

import json
from dataclasses import dataclass

from runs.plan import Binding, EncodedPlan, NodeType, Plan, decode_plan

_NODE_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutline:
    """A node and its place in the graph."""

    node_id: str
    type: NodeType
    #: What does its work, for people: for `map` and `reduce` that of their body.
    kind: str
    upstream: tuple[str, ...]
    #: Whether its steps are turns and calls of an agent.
    has_turns: bool = False
    #: wait: the key of the event that it waits for.
    event: Binding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutline:
    """A plan without what its nodes do."""

    name: str
    version: int
    nodes: tuple[NodeOutline, ...]
    #: JSON; None where the run takes any inputs.
    inputs_schema: bytes | None = None
    priority: int | None = None
    fairness_key: str | None = None

    @property
    def size_bytes(self) -> int:
        """About how much of it there is."""
        events = sum(len(str(node.event)) for node in self.nodes if node.event is not None)
        of_nodes = sum(_NODE_BYTES + len("".join(node.upstream)) for node in self.nodes)
        return len(self.inputs_schema or b"") + events + of_nodes


def outline_of(plan: Plan) -> PlanOutline:
    """The plan's outline."""
    return PlanOutline(
        name=plan.name,
        version=plan.version,
        nodes=tuple(
            NodeOutline(
                node_id=node.node_id,
                type=node.type,
                kind=node.leaf.shown[0],
                upstream=node.upstream,
                has_turns=node.agent is not None,
                event=node.leaf.arguments.get("event") if node.type == "wait" else None,
            )
            for node in plan.nodes
        ),
        inputs_schema=json.dumps(plan.inputs_schema).encode() if plan.inputs_schema is not None else None,
        priority=plan.priority,
        fairness_key=plan.fairness_key,
    )


def read_outline(plan: EncodedPlan) -> PlanOutline:
    """The outline of a stored plan; raises BlobCorrupt or PlanIncompatible."""
    return outline_of(decode_plan(*plan))
