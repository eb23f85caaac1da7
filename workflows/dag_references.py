"""Which nodes a node reads: a reference to what another gives is an edge by itself."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from runs.errors import ExpressionInvalid
from runs.expressions import Reference, is_template, parse_expression, parse_template
from runs.plan import NODE_FIELDS
from workflows.dag_document import PathSteps
from workflows.dag_spec import DagSpec, LeafForm, NodeSpec
from workflows.node_configs import ApprovalConfig, LoopConfig, MapConfig, ReduceConfig, ToolConfig, WaitConfig

#: Node id → the nodes that it reads, each with the path of the first expression that does.
Reads = Mapping[str, Mapping[str, PathSteps]]


def nodes_that_are_read(spec: DagSpec) -> Reads:
    """What each node reads of others of the document; a node of `finally` comes after the others as it is."""
    final = {node.id: node.is_final for node in spec.nodes}
    found: dict[str, dict[str, PathSteps]] = {node.id: {} for node in spec.nodes}
    for position, node in enumerate(spec.nodes):
        for place, reference in _references(node):
            root = reference.root
            is_read = root in final and root != node.id and not NODE_FIELDS.isdisjoint(reference.path[:1])
            if is_read and final[root] == node.is_final:
                found[node.id].setdefault(root, (*spec.node_path(position), *place))
    return found


def _references(node: NodeSpec) -> Iterator[tuple[PathSteps, Reference]]:
    """What the expressions of a node read, and where they stand below it; names of a body's own are left out."""
    settings, own = node.settings, _own_names(node)
    if node.when is not None:
        yield from _of_text(node.when, ("when",), is_expression=True)
    if isinstance(settings, MapConfig | ReduceConfig):
        yield from _of_text(settings.over, ("config", "over"), is_expression=True)
    if isinstance(settings, LoopConfig) and settings.until is not None:
        yield from _not_named(own, _of_text(settings.until, ("config", "until"), is_expression=True))
    for leaf in (node.leaf, *node.branches.values()):
        if leaf is not None:
            yield from _not_named(own, _of_leaf(leaf))
    if node.taking_back is not None:
        yield from _of_leaf(node.taking_back)


def _own_names(node: NodeSpec) -> frozenset[str]:
    """What stands for something else than a node in the node's body."""
    if isinstance(node.settings, MapConfig):
        return frozenset({"item", "index"})
    if isinstance(node.settings, ReduceConfig):
        return frozenset({"items"})
    return frozenset({"iteration", "last"}) if isinstance(node.settings, LoopConfig) else frozenset()


def _not_named(
    own: frozenset[str], references: Iterator[tuple[PathSteps, Reference]]
) -> Iterator[tuple[PathSteps, Reference]]:
    return ((place, reference) for place, reference in references if reference.root not in own)


def _of_leaf(leaf: LeafForm) -> Iterator[tuple[PathSteps, Reference]]:
    config = leaf.config
    if isinstance(config, ToolConfig):
        yield from _of_value(config.tool_args, (*leaf.place, "tool_args"), is_expression=False)
    elif isinstance(config, ApprovalConfig):
        yield from _of_value(config.message, (*leaf.place, "message"), is_expression=False)
        yield from _of_value(config.show, (*leaf.place, "show"), is_expression=True)
    elif isinstance(config, WaitConfig):
        yield from _of_value(config.until, (*leaf.place, "until"), is_expression=True)
        yield from _of_value(config.event, (*leaf.place, "event"), is_expression=False)
    else:
        yield from _of_value(config.inputs, (*leaf.place, "inputs"), is_expression=True)


def _of_value(value: Any, place: PathSteps, *, is_expression: bool) -> Iterator[tuple[PathSteps, Reference]]:
    if isinstance(value, str):
        yield from _of_text(value, place, is_expression=is_expression)
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _of_value(part, (*place, key), is_expression=is_expression)


def _of_text(text: str, place: PathSteps, *, is_expression: bool) -> Iterator[tuple[PathSteps, Reference]]:
    # What does not parse is told where it is compiled.
    with suppress(ExpressionInvalid):
        if is_template(text):
            yield from ((place, reference) for reference in parse_template(text).references)
        elif is_expression:
            yield from ((place, reference) for reference in parse_expression(text).references)
