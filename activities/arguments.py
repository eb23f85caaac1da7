"""From references to values: the arguments of a step, read from the blob store and evaluated."""

from collections.abc import Mapping
from typing import Any

from activities.errors import ItemMissing
from activities.payloads import STATE_PREFIX, RunRef, StepCall
from activities.resources import Resources
from runs.expressions import Reference, follow, parse_expression, parse_template
from runs.plan import Binding, NodeState, PlanNode
from runs.rerun_plan import reads_inputs


async def resolve_arguments(resources: Resources, call: StepCall, node: PlanNode) -> dict[str, Any]:
    """The value of each argument; raises ExpressionFailed, BlobNotFound or ItemMissing."""
    goes_over_inputs = node.over_root == "inputs" and call.pages is None
    scope = await read_scope(resources, call.run, call.outputs, with_inputs=goes_over_inputs or reads_inputs(node))
    scope.update(await read_local(resources, call))
    if call.pages is not None:
        scope.update(await _item_of_page(resources, call, call.pages))
    elif node.over_root is not None:
        scope.update(_over(scope, call, node))
    return evaluate(node.leaf.arguments, scope)


async def resolve_outputs(
    resources: Resources, run: RunRef, outputs: Mapping[str, str | None], bindings: Mapping[str, Binding]
) -> dict[str, Any]:
    """The outputs of a run by their names."""
    return evaluate(bindings, await read_scope(resources, run, outputs))


def evaluate(bindings: Mapping[str, Binding], scope: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each binding in `scope`."""
    return {name: _value(binding, scope) for name, binding in bindings.items()}


async def read_scope(
    resources: Resources, run: RunRef, outputs: Mapping[str, str | None], *, with_inputs: bool = True
) -> dict[str, Any]:
    """What expressions see: the run's inputs, and the outputs that `outputs` refers to.

    Inputs may be a list of a hundred thousand items: who does not read them says so.
    """
    scope: dict[str, Any] = {}
    if with_inputs:
        inputs = await resources.json_value(org_id=run.org_id, digest=run.inputs_digest)
        scope = {**inputs, "inputs": inputs}
    for node_id, digest in outputs.items():
        if digest is None or digest.startswith(STATE_PREFIX):
            state = NodeState.SKIPPED.value if digest is None else digest.removeprefix(STATE_PREFIX)
            scope[node_id] = {"output": None, "status": state}
            continue
        output = await resources.json_value(org_id=run.org_id, digest=digest)
        scope[node_id] = {"output": output, "status": NodeState.SUCCEEDED.value}
    return scope


async def read_local(resources: Resources, call: StepCall) -> dict[str, Any]:
    """The names that only this step's expressions see."""
    local: dict[str, Any] = dict(call.local)
    for name, digest in call.local_refs.items():
        local[name] = None if digest is None else await resources.json_value(org_id=call.run.org_id, digest=digest)
    return local


async def _item_of_page(resources: Resources, call: StepCall, pages: str) -> dict[str, Any]:
    """`item` and `index` of a large map, whose list is not loaded whole."""
    paged = await resources.paged_list(org_id=call.run.org_id, digest=pages)
    index = -1 if call.item_index is None else call.item_index
    if paged is None or not 0 <= index < paged.count:
        raise ItemMissing(node_id=call.node_id, item_index=index)
    page, place = paged.place_of(index)
    items = await resources.json_value(org_id=call.run.org_id, digest=page)
    return {"item": items[place], "index": index}


def read_items(scope: Mapping[str, Any], node: PlanNode) -> Any:
    """What a map or reduce goes over; for a map that should be a list."""
    root, path = str(node.over_root), node.over_path
    place = Reference(root=root, path=path if root == "inputs" else ("output", *path))
    return follow(scope, place, expression=".".join((place.root, *place.path)))


def _over(scope: Mapping[str, Any], call: StepCall, node: PlanNode) -> dict[str, Any]:
    """`item` and `index` for a map, `items` for a reduce."""
    items = read_items(scope, node)
    if node.type != "map":
        return {"items": items if items is not None else []}
    index = call.item_index
    if index is None or not isinstance(items, list) or index >= len(items):
        raise ItemMissing(node_id=node.node_id, item_index=-1 if index is None else index)
    return {"item": items[index], "index": index}


def _value(binding: Binding, scope: Mapping[str, Any]) -> Any:
    if binding.shape == "mapping":
        return {name: _value(member, scope) for name, member in binding.members.items()}
    if binding.shape == "list":
        # By number: a stored plan has its members sorted as text, "10" before "2".
        return [_value(binding.members[str(place)], scope) for place in range(len(binding.members))]
    if binding.source is None:
        return binding.value
    parsed = parse_expression(binding.source) if binding.kind == "expression" else parse_template(binding.source)
    return parsed.evaluate(scope)
