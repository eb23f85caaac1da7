"""What the interpreter knows of its run: references and facts, never documents."""

from dataclasses import dataclass
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.payloads import (
        STATE_PREFIX,
        TOLD,
        ConditionCall,
        LoopProgress,
        NodeOutcome,
        OpenedRun,
        RunRef,
        SkeletonNode,
        StepCall,
    )
    from agentflow.digest import canonical_json
    from runs.expressions import parse_expression
    from runs.facts import FINISH_REASON, facts_as_scope, is_large, only_marks
    from runs.plan import Fact, NodeState
    from workflows.step_calls import NodeFailed

#: Facts are carried over when the run continues as new, all of them in one payload.
MAX_FACTS_BYTES = 40_000
_DIALECT_WITH_MARKS = 2
#: Of an error's message that other nodes may read; less where many are read at once, which travel in one payload.
MAX_TOLD_CHARACTERS = 500
_MAX_TOLD_BYTES, _TOLD_ENTRY_BYTES = 10_000, 60


class MovingOn(Exception):  # a way out, not an error
    """A node stops between two steps, to go on in the next history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first thing that went wrong."""

    code: str
    message: str
    node_id: str | None = None


class RunState:
    """How far a run has come."""

    def __init__(self, run: RunRef, opened: OpenedRun, outcomes: dict[str, NodeOutcome]) -> None:
        self.run, self.opened = run, opened
        self.nodes: dict[str, SkeletonNode] = {node.node_id: node for node in opened.nodes}
        #: Node id → how it ended, in the order in which they ended.
        self.outcomes = outcomes
        self.failure: Failure | None = None
        #: Loop → how far it has come, where an earlier history ended in the middle of it.
        self.loops: dict[str, LoopProgress] = {}
        #: True once a node has failed: then nothing more of the others begins.
        self.is_stopped = False
        #: How the run's nodes ended, for those of `finally`; None while they run.
        self.ending: str | None = None
        self._facts_bytes = sum(_size_of_facts(outcome.facts) for outcome in outcomes.values())

    def may_begin(self, node: SkeletonNode) -> bool:
        """Whether another step of a node that is under way may begin."""
        return node.is_final or not self.is_stopped

    def add_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Counts a node's facts in, and gives them; only marks of them where all facts together become too large.

        Raises NodeFailed where that is not known yet, in a plan of the first dialect.
        """
        size_bytes = _size_of_facts(facts)
        if self._facts_bytes + size_bytes > MAX_FACTS_BYTES:
            if self.opened.dialect < _DIALECT_WITH_MARKS:
                message = f"the facts of all nodes have more than {MAX_FACTS_BYTES:,} bytes; let conditions read less"
                raise NodeFailed("fact.too_large", message)
            facts = only_marks(facts)
            size_bytes = _size_of_facts(facts)
        self._facts_bytes += size_bytes
        return facts

    def digests(self, reads: list[str]) -> dict[str, str | None]:
        """Node id → digest, once for each of `reads` that is a node that has ended; and what else there is to tell."""
        found = {read: _reference(self.outcomes[read]) for read in dict.fromkeys(reads) if read in self.outcomes}
        told = {read: more for read in found if (more := _told(self.outcomes[read]))}
        if not told:
            return found
        share = max(0, min(MAX_TOLD_CHARACTERS, _MAX_TOLD_BYTES // len(told) - _TOLD_ENTRY_BYTES))
        for more in told.values():
            if (error := more.get("error")) is not None:
                more["error"] = {**error, "message": error["message"][:share]}
        return {**found, TOLD: canonical_json(told).decode()}

    def step_call(self, node: SkeletonNode, reads: list[str] | None = None, **more: Any) -> StepCall:
        """A step of a node, which reads the outputs of `reads`."""
        return StepCall(
            run=self.run,
            node_id=node.node_id,
            outputs=self.digests(list(node.reads) if reads is None else reads),
            prompt=more.pop("prompt", node.prompt),
            local={**self.run_as_local(node), **more.pop("local", {})},
            **more,
        )

    def reads_of(self, node: SkeletonNode) -> list[str]:
        """The nodes whose outputs a node's steps read, what a map or reduce goes over included."""
        reads = list(node.reads)
        if node.over_root not in {None, "inputs"}:
            reads.append(str(node.over_root))
        return reads

    def condition_holds(self, node: SkeletonNode) -> bool | None:
        """Whether a node is to run at all; None where content must be asked that is not here. Raises RunsError."""
        dialect = self.opened.dialect
        if node.depends is not None and not _holds(node.depends, self._outcome_scope(node), dialect):
            return False
        if node.when is None:
            return True
        if self.needs_content(node.when):
            return None
        scope = self.condition_scope()
        return _holds(node.when, {**scope, **self.run_as_local(node)}, dialect)

    def needs_content(self, condition: str, last: dict[str, Any] | None = None) -> bool:
        """Whether a condition reads what is too large to be a fact; `last` are facts of a loop's last iteration."""
        return any(
            is_large(*self._facts_behind(reference.root, reference.path, last))
            for reference in parse_expression(condition).references
        )

    def _facts_behind(
        self, root: str, path: tuple[str, ...], last: dict[str, Any] | None
    ) -> tuple[dict[str, Any], Any]:
        if root == "last" and last is not None:
            return last, path
        if root in self.outcomes:
            return (self.outcomes[root].facts, path[1:]) if path[:1] == ("output",) else ({}, path)
        return self.opened.input_facts, path if root == "inputs" else (root, *path)

    def condition_call(self, node: SkeletonNode, condition: str, **more: Any) -> ConditionCall:
        """A condition to be asked where the content is."""
        roots = [reference.root for reference in parse_expression(condition).references]
        local = {**self.run_as_local(node), **more.pop("local", {})}
        return ConditionCall(
            run=self.run,
            node_id=node.node_id,
            condition=condition,
            outputs=self.digests(roots),
            local=local,
            dialect=self.opened.dialect,
            **more,
        )

    def condition_scope(self) -> dict[str, Any]:
        """What conditions see."""
        inputs = facts_as_scope(self.opened.input_facts)
        scope: dict[str, Any] = {**inputs} if isinstance(inputs, dict) else {}
        scope["inputs"] = inputs
        for node_id, outcome in self.outcomes.items():
            output = None if outcome.digest is None else facts_as_scope(outcome.facts)
            ending = {} if outcome.digest is None else {"finish_reason": "stop"}
            scope[node_id] = {"output": output, "status": str(outcome.state), "error": None, **ending, **_told(outcome)}
        return scope

    def size_of(self, node: SkeletonNode) -> int:
        """How many items a map or reduce goes over; raises NodeFailed for what is no list."""
        fact = Fact(path=tuple(node.over_path), kind="size").key
        root = str(node.over_root)
        outcome = self.outcomes.get(root)
        if outcome is not None and outcome.digest is None:
            return 0
        facts = self.opened.input_facts if outcome is None else outcome.facts
        size = facts.get(fact, -1)
        if size < 0:
            path = ".".join((root, *node.over_path))
            raise NodeFailed("map.not_a_list", f"{path!r} is not a list; {node.type} {node.node_id!r} needs one")
        return int(size)

    def _outcome_scope(self, node: SkeletonNode) -> dict[str, dict[str, bool]]:
        states = {before: str(self.outcomes[before].state) for before in node.upstream if before in self.outcomes}
        asked = (NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SKIPPED)
        return {before: {outcome.value: state == outcome for outcome in asked} for before, state in states.items()}

    def run_as_local(self, node: SkeletonNode) -> dict[str, Any]:
        """`run`, which the nodes of `finally` see."""
        if not node.is_final:
            return {}
        failure = self.failure
        return {
            "run": {
                "status": self.ending,
                "failed_node": failure.node_id if failure is not None else None,
                "error_code": failure.code if failure is not None else None,
            }
        }


def _told(outcome: NodeOutcome) -> dict[str, Any]:
    """What expressions can ask of a node besides its output and state, where it is not the usual."""
    told: dict[str, Any] = {}
    if (reason := outcome.facts.get(FINISH_REASON)) is not None:
        told["finish_reason"] = reason
    if outcome.error_code is not None:
        told["error"] = {"code": outcome.error_code, "message": outcome.error_message}
    return told


def _holds(condition: str, scope: dict[str, Any], dialect: int) -> bool:
    return parse_expression(condition).holds(scope, dialect=dialect)


def _size_of_facts(facts: dict[str, Any]) -> int:
    return len(canonical_json(facts)) if facts else 0


def _reference(outcome: NodeOutcome) -> str | None:
    """The digest of a node's output; its state where it failed and the run went on; None where it was skipped."""
    if outcome.digest is None and outcome.state in {NodeState.FAILED, NodeState.CANCELLED}:
        return f"{STATE_PREFIX}{outcome.state}"
    return outcome.digest
