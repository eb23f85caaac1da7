"""The loop of an agent: a turn of the model, the tools that it asks for, and the next turn, each a step of its own.

What the model says and what tools give is never here: a turn gets the digest of the one before, and the digests of
what that one's calls gave. What has been recorded is not performed again, wherever the loop begins anew.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.payloads import (
        SETTLE_AGENT,
        AgentStep,
        LoopProgress,
        SettleCall,
        SkeletonAgent,
        SkeletonNode,
        StepDone,
    )
    from runs.agent_plan import CALL_PREFIX, TURN_PREFIX
    from runs.errors import EffectInDoubt
    from workflows.run_state import MovingOn, RunState
    from workflows.step_calls import BOOKKEEPING, NodeFailed, NotBegun, cancel_all, execute
    from workflows.step_performer import StepPerformer

_ERROR = "error:"
_TOO_MANY_CALLS = f"{_ERROR}agent.too_many_calls"
#: The turn itself knows what is wrong with the call.
_NOT_CALLED = f"{_ERROR}agent.not_called"


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where an agent's loop stands."""

    iteration: int = 0
    #: What the last turn gave; None before the first.
    last: StepDone | None = None
    results: list[str] = field(default_factory=list)
    calls: int = 0


async def run_agent(state: RunState, node: SkeletonNode, steps: StepPerformer, is_full: Callable[[], bool]) -> StepDone:
    """What the agent answers. Raises NodeFailed, or MovingOn when history `is_full`."""
    if node.agent is None:
        raise NodeFailed("step.failed", f"the plan of agent {node.node_id!r} does not say what it may do")
    loop = _AgentLoop(state, node, node.agent, steps)
    done = await loop.answer(is_full)
    settling = SettleCall(step=state.step_call(node), kind="agent", digest=done.digest)
    return await execute(SETTLE_AGENT, settling, StepDone, **BOOKKEEPING)


class _AgentLoop:
    """One agent's way to its answer."""

    def __init__(self, state: RunState, node: SkeletonNode, agent: SkeletonAgent, steps: StepPerformer) -> None:
        self._state, self._node, self._agent, self._steps = state, node, agent, steps
        self._asking, self._calling = replace(node, kind="llm"), replace(node, kind="tool")

    async def answer(self, is_full: Callable[[], bool]) -> StepDone:
        """The turn that asks for no tool any more."""
        node, place = self._node, self._begin()
        first = place.iteration
        while place.iteration < node.max_iterations:
            if place.iteration > first and not node.is_final and is_full():
                self._put_down(place)
                raise MovingOn
            if not self._state.may_begin(node):
                raise asyncio.CancelledError
            place.last = await self._turn(place)
            tools: list[str | None] = place.last.facts["tools"]
            if not tools:
                return place.last
            place.iteration += 1
            if place.iteration < node.max_iterations:
                place.results = await self._calls(place, tools)
        raise NodeFailed(
            "agent.exhausted",
            f"agent {node.node_id!r} asks for tools in each of its {node.max_iterations} turns: raise its "
            "`max_iterations`, or say `on_exhausted: continue`",
        )

    def _begin(self) -> _Place:
        begun = self._state.loops.pop(self._node.node_id, None)
        if begun is None:
            return _Place()
        return _Place(iteration=begun.iteration, last=begun.last, results=list(begun.results), calls=begun.calls)

    def _put_down(self, place: _Place) -> None:
        if place.last is not None:
            self._state.loops[self._node.node_id] = LoopProgress(
                iteration=place.iteration, last=place.last, results=place.results, calls=place.calls
            )

    async def _turn(self, place: _Place) -> StepDone:
        spent = self._spent(place)
        if spent is not None and self._node.on_exhausted == "fail":
            raise NodeFailed("agent.budget_spent", f"agent {self._node.node_id!r} has spent {spent}")
        is_last = spent is not None or place.iteration + 1 == self._node.max_iterations
        step = AgentStep(
            conversation=place.last.digest if place.last is not None else None,
            results=place.results,
            is_last=is_last and self._node.on_exhausted == "continue",
        )
        call = self._state.step_call(self._node, part=f"{TURN_PREFIX}{place.iteration}", agent=step)
        return await self._steps.perform(self._asking, call)

    def _spent(self, place: _Place) -> str | None:
        """Which of the agent's own budgets is spent, for people; None when there is something left."""
        if place.last is None:
            return None
        tokens, micro_usd = place.last.facts["tokens"], place.last.facts["micro_usd"]
        if self._agent.token_budget is not None and tokens >= self._agent.token_budget:
            return f"{tokens:,} tokens of {self._agent.token_budget:,}: raise its `token_budget`"
        if self._agent.budget_micro_usd is not None and micro_usd >= self._agent.budget_micro_usd:
            return f"{micro_usd:,} micro-USD of {self._agent.budget_micro_usd:,}: raise its `budget_micro_usd`"
        return None

    async def _calls(self, place: _Place, tools: list[str | None]) -> list[str]:
        """What each call came to: a digest, or why there is none."""
        results = [_NOT_CALLED] * len(tools)
        allowed: list[tuple[int, str]] = []
        for index, tool in enumerate(tools):
            if tool is None:
                continue
            if place.calls >= self._agent.max_tool_calls:
                results[index] = _TOO_MANY_CALLS
                continue
            place.calls += 1
            allowed.append((index, tool))
        if not self._agent.parallel_tools:
            for index, tool in allowed:
                results[index] = await self._call(place, index, tool)
            return results
        tasks = {index: asyncio.create_task(self._call(place, index, tool)) for index, tool in allowed}
        try:
            await asyncio.gather(*tasks.values())
        except (asyncio.CancelledError, NodeFailed):
            await cancel_all(tasks.values())
            raise
        except NotBegun:
            # What is under way is paid for, and ends.
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            raise
        for index, task in tasks.items():
            results[index] = task.result()
        return results

    async def _call(self, place: _Place, index: int, tool: str) -> str:
        if not self._state.may_begin(self._node):
            raise asyncio.CancelledError
        conversation = place.last.digest if place.last is not None else None
        call = self._state.step_call(
            self._node,
            part=f"{CALL_PREFIX}{place.iteration - 1}.{index}",
            agent=AgentStep(conversation=conversation, tool=tool, call_index=index),
        )
        try:
            done = await self._steps.perform(self._calling, call)
        except NodeFailed as failure:
            # What a person has given up is nothing that a model could mend.
            if self._agent.on_tool_error == "fail" or failure.code == EffectInDoubt.code:
                raise
            return f"{_ERROR}{failure.code}"
        return done.digest
