"""Which node may begin: indegree counters and a ready queue; pure, so that it can be tested without Temporal.

No superstep barrier: a node is ready in the moment its last dependency ends, whatever its siblings do.
Each edge is looked at once, so a run costs O(nodes + edges).
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from runs.plan import NodeState

_FINAL = frozenset({NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SKIPPED, NodeState.CANCELLED})


class StepScheduler:
    """Hands out nodes in the order in which they become ready.

    A node is ready when every dependency has ended well. When all of its dependencies were skipped it is
    skipped too; when only some were, it runs and reads null for those (the two arms of a condition can meet again).
    """

    def __init__(
        self,
        upstream: Mapping[str, Sequence[str]],
        ended: Mapping[str, NodeState] | None = None,
        *,
        tolerated: Collection[str] = (),
        judging: Collection[str] = (),
    ) -> None:
        """`upstream` is node id → the ids it waits for; `ended` is what an earlier part of the run achieved.

        What depends on nodes in `tolerated` begins even when those have failed. Nodes in `judging` look at the
        outcomes of others themselves: they are never skipped for them.
        """
        self._upstream, self._tolerated, self._judging = upstream, frozenset(tolerated), frozenset(judging)
        self._downstream: dict[str, list[str]] = {node_id: [] for node_id in upstream}
        for node_id, before in upstream.items():
            for dependency in before:
                self._downstream[dependency].append(node_id)
        self._waiting_for = {node_id: len(before) for node_id, before in upstream.items()}
        self._states = dict.fromkeys(upstream, NodeState.PENDING)
        self._ready = deque(node_id for node_id, count in self._waiting_for.items() if count == 0)
        self._stopped = False
        for node_id, state in (ended or {}).items():
            self._restore(node_id, state)

    @property
    def states(self) -> Mapping[str, NodeState]:
        """Where each node stands, in document order."""
        return self._states

    @property
    def running(self) -> int:
        """How many nodes have begun and not ended."""
        return sum(1 for state in self._states.values() if state is NodeState.RUNNING)

    @property
    def has_ready(self) -> bool:
        """Whether something could begin."""
        return not self._stopped and any(self._states[node_id] is NodeState.PENDING for node_id in self._ready)

    def take_ready(self) -> Iterable[str]:
        """Yields ready nodes, each marked as running, until there is none; nodes that become ready meanwhile too."""
        while self._ready and not self._stopped:
            node_id = self._ready.popleft()
            if self._states[node_id] is not NodeState.PENDING:
                continue
            self._states[node_id] = NodeState.RUNNING
            yield node_id

    def finish(self, node_id: str, state: NodeState) -> None:
        """Notes how a running node ended, which may make others ready, or skip them.

        Raises ValueError for a node that is not running, because a result must never count twice, and for a state
        that is no end.
        """
        if state not in _FINAL:
            raise ValueError(f"node {node_id!r} cannot end as {state}")
        if self._states[node_id] is not NodeState.RUNNING:
            raise ValueError(f"node {node_id!r} is {self._states[node_id]}, not running")
        self._end(node_id, state)

    def stop(self) -> None:
        """Lets nothing more begin; what runs may still finish."""
        self._stopped = True

    def cancel_rest(self) -> None:
        """Marks everything that has not ended as cancelled: what has not begun, and what stopped half-way."""
        self._stopped = True
        for node_id, state in self._states.items():
            if state not in _FINAL:
                self._states[node_id] = NodeState.CANCELLED

    def _restore(self, node_id: str, state: NodeState) -> None:
        if self._states[node_id] is NodeState.PENDING and state in _FINAL:
            self._end(node_id, state)

    def _end(self, node_id: str, state: NodeState) -> None:
        pending = [(node_id, state)]
        while pending:
            ended, ended_state = pending.pop()
            self._states[ended] = ended_state
            goes_on = ended_state is NodeState.FAILED and ended in self._tolerated
            if ended_state not in {NodeState.SUCCEEDED, NodeState.SKIPPED} and not goes_on:
                continue
            for dependent in self._downstream[ended]:
                self._waiting_for[dependent] -= 1
                if self._waiting_for[dependent] or self._states[dependent] is not NodeState.PENDING:
                    continue
                is_skipped = all(self._states[before] is NodeState.SKIPPED for before in self._upstream[dependent])
                if is_skipped and dependent not in self._judging:
                    pending.append((dependent, NodeState.SKIPPED))
                else:
                    self._ready.append(dependent)
