"""Workflows as JSON. A process of its own writes what is as large as a plan, so this knows no service."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from cas.router import Router
from runs.models import Spec
from runs.plan import EncodedPlan, Plan, decode_plan
from runs.plan_bounds import bounds_of
from workflows.graph_view import graph_of


class WorkflowNode(BaseModel):
    """A node of a compiled workflow."""

    id: str
    type: str
    depends: list[str] = Field(description="The nodes that it waits for.")
    target: str = Field(description="The prompt reference, tool or function that does its work.")
    kind: str = Field(description="What its steps do; of a map or a reduce, what its body is.")
    when: str | None = Field(description="The condition that it is skipped without.")
    on_error: str
    over: str | None = Field(description="The list that a map or a reduce goes over.")
    window: int | None = Field(description="Steps of a map at once.")
    batch: int | None = Field(description="Items of one step of a map.")
    more: list[str] = Field(description="What else decides about it, in words.")


class Workflow(BaseModel):
    """A registered version of a workflow."""

    name: str
    version: int
    digest: str = Field(description="SHA-256 of the document as data.")
    created_at: datetime


class WorkflowDetail(Workflow):
    """A registered version with what it compiles to."""

    document: str
    nodes: list[WorkflowNode]
    inputs_schema: dict[str, Any] | None


class NodeBounds(BaseModel):
    """The worst case of one node."""

    id: str
    steps: int = Field(description="Each item of a map counts, and those of runs below it too.")
    workflows: int = Field(description="Shards, and runs below it.")
    strategy: str | None = Field(description="Of a map: `inline`, `batched` or `sharded`, for its longest list.")


class WorkflowBounds(BaseModel):
    """How large a run can become: every list as long as it may be, every attempt needed, nothing skipped."""

    steps: int
    workflows: int
    events: int = Field(description="Of the longest history of any of its workflows.")
    history_bytes: int
    pending: int = Field(description="Activities and workflows below that one workflow has under way at once.")
    model_calls: int = Field(description="Every attempt counted.")
    cost_micro_usd: int | None = Field(
        description="Every prompt as long as its model takes; null where a model's price or context is not known."
    )
    nodes: list[NodeBounds]


class WorkflowCheck(BaseModel):
    """What a document compiles to."""

    name: str
    version: int
    nodes: list[WorkflowNode]
    inputs_schema: dict[str, Any] | None
    bounds: WorkflowBounds


def workflow_of(spec: Spec) -> Workflow:
    """A spec in a list."""
    return Workflow(name=spec.name, version=spec.version, digest=spec.digest, created_at=spec.created_at)


def workflow_detail_json(spec: Spec, plan: EncodedPlan) -> bytes:
    """A spec with its plan, as WorkflowDetail; its work is as much as the plan."""
    read = decode_plan(*plan)
    detail = WorkflowDetail(
        name=spec.name,
        version=spec.version,
        digest=spec.digest,
        created_at=spec.created_at,
        document=spec.document,
        nodes=_nodes_of(read),
        inputs_schema=read.inputs_schema,
    )
    return detail.model_dump_json().encode()


def workflow_check_json(plan: EncodedPlan, router: Router) -> bytes:
    """A stored or a compiled plan with its worst case, as WorkflowCheck; its work is as much as the plan."""
    return workflow_check_of(decode_plan(*plan), router).model_dump_json().encode()


def workflow_check_of(plan: Plan, router: Router) -> WorkflowCheck:
    """A plan with its worst case."""
    return WorkflowCheck(
        name=plan.name,
        version=plan.version,
        nodes=_nodes_of(plan),
        inputs_schema=plan.inputs_schema,
        bounds=_bounds_of(plan, router),
    )


def _bounds_of(plan: Plan, router: Router) -> WorkflowBounds:
    bounds = bounds_of(plan)
    costs = [
        (router.worst_call(tier=kind.quality, max_output_tokens=kind.max_output_tokens, pinned=kind.model), count)
        for kind, count in bounds.model_calls.items()
    ]
    known = [cost * count for cost, count in costs if cost is not None]
    return WorkflowBounds(
        steps=bounds.steps,
        workflows=bounds.workflows,
        events=bounds.events,
        history_bytes=bounds.bytes,
        pending=bounds.pending,
        model_calls=sum(bounds.model_calls.values()),
        cost_micro_usd=sum(known) if len(known) == len(costs) else None,
        nodes=[
            NodeBounds(id=node.node_id, steps=node.steps, workflows=node.workflows, strategy=node.strategy)
            for node in bounds.nodes
        ],
    )


def _nodes_of(plan: Plan) -> list[WorkflowNode]:
    return [
        WorkflowNode(
            id=node.node_id,
            type=node.type,
            depends=list(node.upstream),
            target=node.target,
            kind=node.kind,
            when=node.when,
            on_error=node.on_error,
            over=node.over,
            window=node.window,
            batch=node.batch,
            more=list(node.more),
        )
        for node in graph_of(plan)
    ]
