"""What the interpreter is told of a node: how it is scheduled and how patiently, and nothing of what it works on."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from activities.map_payloads import MAX_INLINE_ITEMS
from activities.payloads import SkeletonAgent, SkeletonNode
from activities.provider_queues import queue_of
from runs.agent_plan import AgentPlan
from runs.plan import PROMPTED_KINDS, BranchPlan, PlanNode


def skeleton_of(node: PlanNode, prompts: Mapping[str, str], own_queues: Collection[str] = ()) -> SkeletonNode:
    """The node for the interpreter.

    `prompts` is reference → version, for this run; the providers of `own_queues` have task queues of their own.
    """
    worker = partial(_worker, prompts=prompts, own_queues=own_queues)
    taking_back = node.compensate
    own = BranchPlan(leaf=node.leaf, retry=node.retry, timeout=node.timeout)
    return replace(
        worker(node.node_id, node.type, own),
        upstream=list(node.upstream),
        when=node.when,
        over_root=node.over_root,
        over_path=list(node.over_path),
        window=node.window,
        batch=node.map.batch if node.map else 1,
        max_items=node.map.max_items if node.map else MAX_INLINE_ITEMS,
        tolerated_failures=node.map.tolerated_failures if node.map else 0,
        tolerated_percent=node.map.tolerated_percent if node.map else 0.0,
        on_error=node.on_error,
        escalate_after=[step.after_seconds for step in node.gate.escalations] if node.gate else [],
        depends=node.depends,
        is_final=node.is_final,
        max_iterations=node.agent.max_iterations if node.agent else node.loop.max_iterations if node.loop else 1,
        until=node.loop.until if node.loop else None,
        delay_seconds=node.loop.delay_seconds if node.loop else 0.0,
        on_exhausted=node.agent.on_exhausted if node.agent else node.loop.on_exhausted if node.loop else "continue",
        agent=_agent(node.agent) if node.agent else None,
        fan_in=node.fan_in or 0,
        branches=[
            replace(worker(name, branch.leaf.kind, branch), is_final=node.is_final)
            for name, branch in node.branches.items()
        ],
        # As those of `finally` it runs because the run has ended, even by a cancellation.
        compensate=replace(worker(node.node_id, taking_back.leaf.kind, taking_back), is_final=True)
        if taking_back is not None
        else None,
    )


def _agent(plan: AgentPlan) -> SkeletonAgent:
    return SkeletonAgent(
        max_tool_calls=plan.max_tool_calls,
        token_budget=plan.token_budget,
        budget_micro_usd=plan.budget_micro_usd,
        parallel_tools=plan.parallel_tools,
        on_tool_error=plan.on_tool_error,
    )


def _worker(
    node_id: str, node_type: str, work: BranchPlan, prompts: Mapping[str, str], own_queues: Collection[str]
) -> SkeletonNode:
    """What does the work of a node or of a part of it."""
    leaf, retry, timeout = work.leaf, work.retry, work.timeout
    return SkeletonNode(
        node_id=node_id,
        type=node_type,
        kind=leaf.kind,
        upstream=[],
        reads=list(leaf.reads),
        attempts=retry.attempts,
        initial_seconds=retry.initial_seconds,
        factor=retry.factor,
        max_seconds=retry.max_seconds,
        run_seconds=timeout.run_seconds,
        idle_seconds=timeout.idle_seconds,
        queue_seconds=timeout.queue_seconds,
        total_seconds=timeout.total_seconds,
        prompt=prompts.get(leaf.target) if leaf.kind in PROMPTED_KINDS else None,
        after_seconds=work.after_seconds,
        llm_queue=queue_of(leaf, own_queues),
    )
