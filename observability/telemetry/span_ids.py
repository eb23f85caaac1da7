"""Where a span stands in its run, and so its id: any process computes its parent without asking."""

from dataclasses import dataclass

from agentflow.ids import span_id_of, trace_id_of


def run_span_id(run_id: str) -> str:
    """The id of the run's own span, the root of its trace."""
    return span_id_of(run_id, "run")


def map_span_id(run_id: str, node_id: str) -> str:
    """The id of a map node's span, the parent of its items' spans."""
    return span_id_of(run_id, node_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAttempt:
    """One try at one step of a run."""

    org_id: str
    run_id: str
    node_id: str
    #: Which item of a map; None for a node that is no map.
    item_index: int | None = None
    generation: int = 0
    #: Which of the steps that the node is made of; None for its own step.
    part: str | None = None
    #: Counts from 1.
    attempt: int = 1

    @property
    def trace_id(self) -> str:
        """The trace of the run."""
        return trace_id_of(self.run_id)

    @property
    def span_id(self) -> str:
        """The id of this attempt's span."""
        return span_id_of(self.run_id, *self._path)

    @property
    def parent_span_id(self) -> str:
        """The map's span for an item, the run's span otherwise."""
        if self.item_index is None:
            return run_span_id(self.run_id)
        return map_span_id(self.run_id, self.node_id)

    def call_span_id(self, ordinal: int) -> str:
        """The id of the span of the `ordinal`-th model or tool call that this attempt makes."""
        return span_id_of(self.run_id, *self._path, "call", ordinal)

    @property
    def _path(self) -> tuple[str | int, ...]:
        item = "-" if self.item_index is None else self.item_index
        part = () if self.part is None else (self.part,)
        return self.node_id, item, self.generation, self.attempt, *part
