"""From references to values: the arguments of a step, read from the blob store and evaluated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.catalog import FUNCTIONS
from activities.errors import ItemMissing
from activities.payloads import STATE_PREFIX, TOLD, RunRef, StepCall
from activities.resources import Resources
from agentflow.heavy_work import run_apart
from agentflow.meter import Meter
from runs.errors import ExpressionTooCostly
from runs.expressions import DIALECT, SCHEDULING, STEP, Limits, Reference, follow, parse_expression, parse_template
from runs.plan import COMPENSATION, Binding, NodeState, Plan, PlanNode
from runs.rerun_plan import reads_inputs


async def resolve_arguments(resources: Resources, call: StepCall, node: PlanNode) -> dict[str, Any]:
    """The value of each argument; raises ExpressionFailed, BlobNotFound or ItemMissing."""
    leaf = node.leaf_of(call.part)
    goes_over = node.over_root is not None and call.part != COMPENSATION
    listed = await _listed_apart(resources, call, node) if goes_over else None
    from_scope = goes_over and listed is None
    with_inputs = (from_scope and node.over_root == "inputs") or reads_inputs(node, leaf)
    read = {*leaf.reads, TOLD}
    outputs = call.outputs if listed is None else {name: call.outputs[name] for name in call.outputs if name in read}
    scope = await read_scope(resources, call.run, outputs, with_inputs=with_inputs)
    scope.update(await read_local(resources, call))
    if listed is not None:
        scope.update(listed)
    elif from_scope:
        scope.update(_over(scope, call, node))
    plan = await resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
    return await evaluate_aside(leaf.arguments, scope, dialect=plan.dialect, owner=call.run.org_id)


async def resolve_outputs(
    resources: Resources, run: RunRef, outputs: Mapping[str, str | None], plan: Plan
) -> dict[str, Any]:
    """The outputs of a run by their names."""
    scope = await read_scope(resources, run, outputs)
    return await evaluate_aside(plan.outputs, scope, dialect=plan.dialect, owner=run.org_id)


async def evaluate_aside(
    bindings: Mapping[str, Binding], scope: Mapping[str, Any], *, dialect: int, owner: str
) -> dict[str, Any]:
    """As `evaluate`, at once where it costs little and else in a thread, in its owner's turn."""
    try:
        return evaluate(bindings, scope, SCHEDULING, dialect=dialect)
    except ExpressionTooCostly:
        return await run_apart(lambda: evaluate(bindings, scope, dialect=dialect), owner=owner)


def evaluate(
    bindings: Mapping[str, Binding], scope: Mapping[str, Any], limits: Limits = STEP, *, dialect: int = DIALECT
) -> dict[str, Any]:
    """The value of each binding in `scope`, all of them together within `limits`; raises ExpressionFailed."""
    return _Evaluation(scope, limits.meter(), dialect).values(bindings)


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
    told = json.loads(outputs.get(TOLD) or "{}")
    for node_id, digest in outputs.items():
        if node_id == TOLD:
            continue
        if digest is None or digest.startswith(STATE_PREFIX):
            state = NodeState.SKIPPED.value if digest is None else digest.removeprefix(STATE_PREFIX)
            scope[node_id] = {"output": None, "status": state, "error": None, **told.get(node_id, {})}
            continue
        output = await resources.json_value(org_id=run.org_id, digest=digest)
        state = NodeState.SUCCEEDED.value
        ending = {"error": None, "finish_reason": "stop", **told.get(node_id, {})}
        scope[node_id] = {"output": output, "status": state, **ending}
    return scope


async def read_local(resources: Resources, call: StepCall) -> dict[str, Any]:
    """The names that only this step's expressions see."""
    local: dict[str, Any] = dict(call.local)
    for name, digest in call.local_refs.items():
        local[name] = None if digest is None else await resources.json_value(org_id=call.run.org_id, digest=digest)
    return local


async def _listed_apart(resources: Resources, call: StepCall, node: PlanNode) -> dict[str, Any] | None:
    """What a body goes over, where the list need not be loaded whole for it; None where it must."""
    if call.pages is not None:
        return await _item_of_page(resources, call, call.pages)
    org_id = call.run.org_id
    if call.item_refs:
        as_item = FUNCTIONS[node.leaf.target].as_item if node.leaf.kind == "function" else None
        below = [await resources.json_value(org_id=org_id, digest=digest) for digest in call.item_refs]
        return {"items": below if as_item is None else [as_item(output) for output in below]}
    source = call.outputs.get(str(node.over_root))
    first, stop = call.items_from or 0, call.items_to
    if (stop is None and node.type != "map") or node.over_path or source is None:
        return None
    paged = await resources.paged_list(org_id=org_id, digest=source)
    if paged is None:
        return None
    if node.type == "map":
        return await _item_of_page(resources, call, source)
    places = [paged.place_of(index) for index in range(first, min(stop or paged.count, paged.count))]
    names = dict.fromkeys(page for page, _ in places)
    pages = {page: await resources.json_value(org_id=org_id, digest=page) for page in names}
    return {"items": [pages[page][place] for page, place in places]}


async def _item_of_page(resources: Resources, call: StepCall, pages: str) -> dict[str, Any]:
    """`item` and `index` of a large map."""
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
        listed = items if items is not None else []
        return {"items": listed if call.items_to is None else listed[call.items_from : call.items_to]}
    index = call.item_index
    if index is None or not isinstance(items, list) or index >= len(items):
        raise ItemMissing(node_id=node.node_id, item_index=-1 if index is None else index)
    return {"item": items[index], "index": index}


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """The values of bindings in one scope, paid by one meter."""

    scope: Mapping[str, Any]
    meter: Meter
    dialect: int

    def values(self, bindings: Mapping[str, Binding]) -> dict[str, Any]:
        return {
            name: self.value(binding)
            for name, binding in bindings.items()
            if binding.kind != "given" or _place_of(binding)[1] in self.scope.get(_place_of(binding)[0], {})
        }

    def value(self, binding: Binding) -> Any:
        if binding.shape == "mapping":
            return self.values(binding.members)
        if binding.shape == "list":
            # By number: a stored plan has its members sorted as text, "10" before "2".
            return [self.value(binding.members[str(place)]) for place in range(len(binding.members))]
        if binding.source is None:
            return binding.value
        if binding.kind == "given":
            root, name = _place_of(binding)
            return self.scope[root][name]
        parsed = parse_expression(binding.source) if binding.kind == "expression" else parse_template(binding.source)
        return parsed.evaluate(self.scope, self.meter, dialect=self.dialect)


def _place_of(given: Binding) -> tuple[str, str]:
    """The name in scope, and what of it is meant."""
    root, _, name = str(given.source).partition(".")
    return root, name
