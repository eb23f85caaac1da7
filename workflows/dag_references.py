"""Which nodes a node reads: a reference to what another gives is an edge by itself."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from runs.errors import ExpressionInvalid
from runs.expressions import Reference, is_template, parse_expression, parse_template
from runs.plan import NODE_FIELDS
from workflows.dag_document import PathSteps
from workflows.dag_spec import DagSpec, LeafForm, NodeSpec
from workflows.node_configs import ApprovalConfig, LoopConfig, MapConfig, ReduceConfig, ToolConfig, WaitConfig

#: Node id → the nodes that it reads, each with the path of the first expression that does.
Reads = Mapping[str, Mapping[str, PathSteps]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of a node that may hold expressions."""

    #: Where it stands below the node.
    place: PathSteps
    source: str
    #: Whether it is an expression as it is, or a text with places for some.
    is_expression: bool
    #: Names that stand for something else than a node or an input here.
    own_names: frozenset[str] = frozenset()

    def references(self) -> Iterator[Reference]:
        """What it reads besides its own names."""
        # What does not parse is told where it is compiled.
        with suppress(ExpressionInvalid):
            if is_template(self.source):
                found = parse_template(self.source).references
            else:
                found = parse_expression(self.source).references if self.is_expression else ()
            yield from (reference for reference in found if reference.root not in self.own_names)


def nodes_that_are_read(spec: DagSpec) -> Reads:
    """What each node reads of others of the document; a node of `finally` comes after the others as it is."""
    final = {node.id: node.is_final for node in spec.nodes}
    found: dict[str, dict[str, PathSteps]] = {node.id: {} for node in spec.nodes}
    for position, node in enumerate(spec.nodes):
        for text in texts_of(node):
            for reference in text.references():
                root = reference.root
                is_read = root in final and root != node.id and not NODE_FIELDS.isdisjoint(reference.path[:1])
                if is_read and final[root] == node.is_final:
                    found[node.id].setdefault(root, (*spec.node_path(position), *text.place))
    return found


def texts_of(node: NodeSpec) -> Iterator[Text]:
    """The texts of a node that may hold expressions over nodes and inputs."""
    settings, own = node.settings, _own_names(node)
    if node.when is not None:
        yield Text(place=("when",), source=node.when, is_expression=True)
    if isinstance(settings, MapConfig | ReduceConfig):
        yield Text(place=("config", "over"), source=settings.over, is_expression=True)
    if isinstance(settings, LoopConfig) and settings.until is not None:
        yield Text(place=("config", "until"), source=settings.until, is_expression=True, own_names=own)
    for leaf in (node.leaf, *node.branches.values()):
        if leaf is not None:
            yield from (replace(text, own_names=text.own_names | own) for text in _of_leaf(leaf))
    if node.taking_back is not None:
        yield from _of_leaf(node.taking_back)


def _own_names(node: NodeSpec) -> frozenset[str]:
    """What stands for something else than a node in the node's body."""
    if isinstance(node.settings, MapConfig):
        return frozenset({"item", "index"})
    if isinstance(node.settings, ReduceConfig):
        return frozenset({"items"})
    return frozenset({"iteration", "last"}) if isinstance(node.settings, LoopConfig) else frozenset()


def _of_leaf(leaf: LeafForm) -> Iterator[Text]:
    config = leaf.config
    if leaf.is_body and leaf.inner is not None:
        for node in leaf.inner.nodes:
            yield from (replace(text, place=(*leaf.place, *text.place)) for text in texts_of(node))
    elif isinstance(config, ToolConfig):
        yield from _of_value(config.tool_args, (*leaf.place, "tool_args"), is_expression=False)
    elif isinstance(config, ApprovalConfig):
        yield from _of_value(config.message, (*leaf.place, "message"), is_expression=False)
        yield from _of_value(config.show, (*leaf.place, "show"), is_expression=True)
    elif isinstance(config, WaitConfig):
        yield from _of_value(config.until, (*leaf.place, "until"), is_expression=True)
        yield from _of_value(config.event, (*leaf.place, "event"), is_expression=False)
    else:
        yield from _of_value(config.inputs, (*leaf.place, "inputs"), is_expression=True)


def _of_value(value: Any, place: PathSteps, *, is_expression: bool) -> Iterator[Text]:
    if isinstance(value, str):
        yield Text(place=place, source=value, is_expression=is_expression)
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _of_value(part, (*place, key), is_expression=is_expression)
