"""Re-runs as JSON."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentflow.money import from_cents, spend_to_cents
from api.schemas.json_object import JsonObject
from api.schemas.runs import Cents
from runs.rerun_plan import NodeDecision
from workflows.dag_spec import MAX_NODES
from workflows.rerun_service import RerunPlan, RerunRequest

_NodeId = Annotated[str, Field(min_length=1, max_length=63)]


class RerunSubmission(BaseModel):
    """A wish to run a run again; what is left out stays as it was."""

    model_config = ConfigDict(extra="forbid")

    from_nodes: list[_NodeId] = Field(
        default_factory=list,
        max_length=MAX_NODES,
        description="These run again, with all that comes after them.",
    )
    failed_only: bool = Field(
        default=False, description="Refused when anything that succeeded would have to run again."
    )
    failed_items: bool = Field(
        default=False,
        description="Items that failed, and were tolerated, run again, with all that comes after their maps.",
    )
    changes: JsonObject = Field(
        default_factory=dict, description="Path of an input, such as `document_key` or `options.depth` → its value."
    )
    document: str | None = Field(
        default=None, max_length=1024 * 1024, description="An edited workflow document, YAML or JSON."
    )
    budget_cents: Cents | None = Field(
        default=None, description="What the re-run may spend, in US cents; the earlier run's limit when left out."
    )

    def to_request(self, run_id: str, idempotency_key: str | None = None) -> RerunRequest:
        """The service's form."""
        return RerunRequest(
            run_id=run_id,
            from_nodes=tuple(self.from_nodes),
            failed_only=self.failed_only,
            failed_items=self.failed_items,
            changes=self.changes,
            document=self.document,
            budget_micro_usd=from_cents(self.budget_cents) if self.budget_cents is not None else None,
            idempotency_key=idempotency_key,
        )


class RerunNode(BaseModel):
    """What a re-run does about a node."""

    id: str
    reused: bool = Field(description="Its recorded output is taken over.")
    reason: str
    takes_over_items: bool = Field(
        description="It runs again without what was finished: items of a map, or nodes of a workflow's run."
    )
    earlier_cost_micro_usd: int | None


class RerunPreview(BaseModel):
    """What a re-run would take over, do, and cost."""

    rerun_of: str
    nodes: list[RerunNode]
    estimated_cost_micro_usd: int = Field(description="What the nodes that run again cost in the earlier run.")
    estimated_cost_cents: int
    unknown_cost_nodes: list[str] = Field(description="Nodes that run again and did not run there.")


def rerun_preview_of(plan: RerunPlan) -> RerunPreview:
    """A re-run's plan."""
    return RerunPreview(
        rerun_of=plan.rerun_of,
        nodes=[_node(decision) for decision in plan.decisions],
        estimated_cost_micro_usd=plan.estimated_cost_micro_usd,
        estimated_cost_cents=spend_to_cents(plan.estimated_cost_micro_usd),
        unknown_cost_nodes=list(plan.unknown_cost_nodes),
    )


def _node(decision: NodeDecision) -> RerunNode:
    return RerunNode(
        id=decision.node_id,
        reused=decision.reused,
        reason=decision.reason,
        takes_over_items=decision.redrive,
        earlier_cost_micro_usd=decision.earlier_cost_micro_usd,
    )
