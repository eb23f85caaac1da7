"""What a drawing shows of a compiled DAG: the one place that reads it from the plan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runs.plan import Plan, PlanNode


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A node as it is drawn."""

    node_id: str
    #: Any text: a type that a drawing does not know gets a neutral colour.
    type: str
    #: What its steps do: of a map or a reduce, what its body is.
    kind: str
    #: The prompt reference, tool, function or language.
    target: str
    upstream: tuple[str, ...]
    when: str | None = None
    on_error: str = "fail"
    #: map, reduce: the path of the list.
    over: str | None = None
    #: map: steps at once, and items of each.
    window: int | None = None
    batch: int | None = None
    #: What else decides about the node, in words.
    more: tuple[str, ...] = ()

    @property
    def does(self) -> str:
        """`map of llm document_analyzer@3`; a target that only repeats the type is left out."""
        kind = self.type if self.type == self.kind else f"{self.type} of {self.kind}"
        return kind if self.target in {self.type, self.kind} else f"{kind} {self.target}"

    @property
    def details(self) -> tuple[str, ...]:
        """What else decides about the node, each part a few words."""
        parts = (
            (self.when, f"when {self.when}"),
            (self.over, f"over {self.over}"),
            (self.window, f"window {self.window}"),
            (self.batch is not None and self.batch > 1, f"batch {self.batch}"),
            (self.on_error != "fail", f"on error {self.on_error}"),
            *((True, text) for text in self.more),
        )
        return tuple(" ".join(text.split()) for is_there, text in parts if is_there)


def graph_of(plan: Plan) -> tuple[GraphNode, ...]:
    """The nodes in document order."""
    return tuple(_graph_node(node) for node in plan.nodes)


def edge_count(nodes: Iterable[GraphNode]) -> int:
    """How many edges there are."""
    return sum(len(node.upstream) for node in nodes)


def _more(node: PlanNode) -> Iterator[str]:
    if node.depends is not None:
        yield f"if {node.depends}"
    if node.fan_in is not None:
        yield f"fan in {node.fan_in}"
    if node.loop is not None:
        until = f" until {node.loop.until}" if node.loop.until is not None else ""
        pause = f", {node.loop.delay_seconds:g} s apart" if node.loop.delay_seconds else ""
        yield f"at most {node.loop.max_iterations} times{pause}{until}"
    if node.compensate is not None:
        yield f"taken back by {node.compensate.leaf.kind} {node.compensate.leaf.target}"
    if node.leaf.plan is not None and node.leaf.result is None:
        count = len(node.leaf.plan.nodes)
        yield f"{count} node{'s' if count > 1 else ''} below"
    if node.is_final:
        yield "finally"


def _list_path(node: PlanNode) -> str | None:
    """The list as a document names it: the plan leaves out that a node's path begins at its output."""
    if node.over_root is None:
        return None
    root = (node.over_root,) if node.over_root == "inputs" else (node.over_root, "output")
    return ".".join((*root, *node.over_path))


def _graph_node(node: PlanNode) -> GraphNode:
    kind, target = node.leaf.shown
    return GraphNode(
        node_id=node.node_id,
        type=node.type,
        kind=kind,
        target=target,
        upstream=node.upstream,
        when=node.when,
        on_error=node.on_error,
        over=_list_path(node),
        window=node.window if node.type == "map" else None,
        batch=node.map.batch if node.map is not None else None,
        more=tuple(_more(node)),
    )
