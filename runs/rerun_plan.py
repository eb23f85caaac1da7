"""What a run that repeats another one takes over from it, and what it must do again; pure.

A recorded output is taken over when the node is defined as it was, reads the same inputs, and everything before it is
taken over too. Whatever comes after something that runs again runs again; the nodes of `finally` come after all others.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentflow.digest import canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt
from agentflow.money import MicroUsd
from runs.errors import ExpressionInvalid
from runs.expressions import Reference, parse_expression, parse_template
from runs.plan import Binding, Leaf, NodeState, Plan, PlanNode

#: What is not lost when a node of that type fails: items, and nodes of the run below.
_OF_PARTS = frozenset({"map", "workflow"})
#: Stands for all inputs, where an expression reads `inputs` as a whole.
ALL_INPUTS = "*"
#: What the body of a node sees besides inputs and outputs.
_LOCAL_NAMES = {
    "map": frozenset({"item", "index"}),
    "reduce": frozenset({"items"}),
    "loop": frozenset({"iteration", "last"}),
}
#: What the nodes of `finally` see of the run.
_FINAL_NAMES = frozenset({"run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What an earlier run recorded of a node."""

    state: NodeState
    #: None for a skipped node, and where no output was recorded.
    output_digest: str | None
    #: None when nothing of it has run.
    cost_micro_usd: MicroUsd | None = None
    #: Whether what it did was undone when the run ended.
    is_taken_back: bool = False
    #: How its answer ended, where that is not `stop`.
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDecision:
    """Whether a node's recorded output is taken over."""

    node_id: str
    reused: bool
    #: For people: why it is taken over, or why not.
    reason: str
    #: A map of which the finished items are taken over, or a workflow of which its run's finished nodes are.
    redrive: bool = False
    #: What it cost in the earlier run; None when it has not run there.
    earlier_cost_micro_usd: MicroUsd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseManifest:
    """What a run takes over, as it is stored with it."""

    of: str
    #: Node id → its result.
    nodes: dict[str, NodeResult] = field(default_factory=dict)
    #: Map or workflow whose finished parts are taken over → the run that finished them.
    redrive: dict[str, str] = field(default_factory=dict)
    #: Of what was asked for: one key, one wish.
    wish_digest: str | None = None


_MANIFEST = TypeAdapter(ReuseManifest)
_NODE = TypeAdapter(PlanNode)


def encode_manifest(manifest: ReuseManifest) -> tuple[str, bytes]:
    """The manifest's digest and its canonical bytes."""
    content = canonical_json(_MANIFEST.dump_python(manifest, mode="json"))
    return sha256_hex(content), content


def decode_manifest(digest: str, content: bytes) -> ReuseManifest:
    """The manifest that `encode_manifest` wrote; raises BlobCorrupt for any other content."""
    try:
        return _MANIFEST.validate_json(content)
    except ValidationError as error:
        raise BlobCorrupt(digest=digest) from error


def plan_rerun(
    *,
    earlier: Plan,
    plan: Plan,
    results: Mapping[str, NodeResult],
    from_nodes: Collection[str],
    changed_inputs: Collection[str],
    failed_items: Mapping[str, int] | None = None,
) -> tuple[NodeDecision, ...]:
    """A decision for each node of `plan`, in document order.

    `results` are those of the earlier run; `from_nodes` are to run again whatever is recorded of them, with all that
    comes after them; `changed_inputs` are the names of inputs that have another value than then. Maps of which
    `failed_items` were tolerated (map → how many) are to run again for those.
    """
    wish = _Wish(frozenset(from_nodes), frozenset(changed_inputs), failed_items or {})
    return _Decisions(earlier, plan, results, wish).all()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be otherwise than in the earlier run."""

    from_nodes: frozenset[str]
    changed_inputs: frozenset[str]
    failed_items: Mapping[str, int]


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """The names of inputs that have another value, or none, after than before; to JSON 1 and true are not equal."""
    return frozenset(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or canonical_json(before[name]) != canonical_json(after[name])
    )


class _Decisions:
    def __init__(
        self,
        earlier: Plan,
        plan: Plan,
        results: Mapping[str, NodeResult],
        wish: _Wish,
    ) -> None:
        self._earlier = {node.node_id: node for node in earlier.nodes}
        self._plan, self._results, self._wish = plan, results, wish
        self._node_ids = frozenset(node.node_id for node in plan.nodes)
        self._main_ids = tuple(node.node_id for node in plan.nodes if not node.is_final)
        self._made: dict[str, NodeDecision] = {}

    def all(self) -> tuple[NodeDecision, ...]:
        waiting = list(self._plan.nodes)
        while waiting:
            # Document order need not be an order of the graph; every round decides at least one node of a DAG.
            later = []
            for node in waiting:
                if all(before in self._made for before in self._before(node)):
                    self._made[node.node_id] = self._decide(node)
                else:
                    later.append(node)
            waiting = later
        return tuple(self._made[node.node_id] for node in self._plan.nodes)

    def _decide(self, node: PlanNode) -> NodeDecision:
        result = self._results.get(node.node_id)
        cost = result.cost_micro_usd if result is not None else None
        reason = self._obstacle(node)
        if reason is not None:
            return NodeDecision(node_id=node.node_id, reused=False, reason=reason, earlier_cost_micro_usd=cost)
        if result is None or not _is_complete(result):
            state = result.state.value if result is not None else NodeState.PENDING.value
            return NodeDecision(
                node_id=node.node_id,
                reused=False,
                reason=f"it was {state}" if state != "succeeded" else "its output was not recorded",
                redrive=node.type in _OF_PARTS,
                earlier_cost_micro_usd=cost,
            )
        missed = self._wish.failed_items.get(node.node_id, 0)
        if missed:
            return NodeDecision(
                node_id=node.node_id,
                reused=False,
                reason=f"{missed:,} of its items failed",
                redrive=True,
                earlier_cost_micro_usd=cost,
            )
        return NodeDecision(
            node_id=node.node_id,
            reused=True,
            reason="nothing that it depends on has changed",
            earlier_cost_micro_usd=cost,
        )

    def _obstacle(self, node: PlanNode) -> str | None:
        """Why a node must run again even if its output was recorded."""
        if node.node_id in self._wish.from_nodes:
            return "it was asked for"
        result = self._results.get(node.node_id)
        if result is not None and result.is_taken_back:
            return "it was taken back"
        known = self._earlier.get(node.node_id)
        if known is None:
            return "it is new"
        if _definition(known) != _definition(node):
            return "its definition has changed"
        # Parsing what a node reads takes most of the time.
        read = inputs_read(node, self._node_ids) if self._wish.changed_inputs else frozenset[str]()
        changed = sorted(self._wish.changed_inputs if ALL_INPUTS in read else self._wish.changed_inputs & read)
        if changed:
            return f"input {changed[0]!r} has changed"
        again = next((before for before in self._before(node) if not self._made[before].reused), None)
        return f"{again!r} before it runs again" if again is not None else None

    def _before(self, node: PlanNode) -> tuple[str, ...]:
        return (*self._main_ids, *node.upstream) if node.is_final else node.upstream


def _definition(node: PlanNode) -> bytes:
    """What a node is, as JSON: to Python 1, 1.0 and true are equal."""
    return canonical_json(_NODE.dump_python(replace(node, facts=()), mode="json"))


def _is_complete(result: NodeResult) -> bool:
    if result.state is NodeState.SKIPPED:
        return True
    return result.state is NodeState.SUCCEEDED and result.output_digest is not None


def inputs_read(node: PlanNode, node_ids: Collection[str]) -> frozenset[str]:
    """The names of the run's inputs that a node's expressions read; ALL_INPUTS for `inputs` as a whole."""
    visible = _visible(node, node_ids)
    # What takes the node back has no part in its result.
    leaves = (node.leaf, *(branch.leaf for branch in node.branches.values()))
    found = {name for leaf in leaves for name in _inputs_of(_argument_references(leaf), visible)}
    if node.when is not None:
        final = _FINAL_NAMES if node.is_final else frozenset()
        found.update(_inputs_of(parse_expression(node.when).references, frozenset(node_ids) | final))
    if node.loop is not None and node.loop.until is not None:
        found.update(_inputs_of(parse_expression(node.loop.until).references, visible))
    if node.over_root == "inputs":
        found.add(node.over_path[0] if node.over_path else ALL_INPUTS)
    return frozenset(found)


def reads_inputs(node: PlanNode, leaf: Leaf) -> bool:
    """Whether the arguments of something that a node does read the run's inputs; then each step must load them."""
    return any(True for _ in _inputs_of(_argument_references(leaf), _visible(node, leaf.reads)))


def _visible(node: PlanNode, node_ids: Collection[str]) -> frozenset[str]:
    """The names that are no inputs to a node's arguments: other nodes, and what its body goes over."""
    final = _FINAL_NAMES if node.is_final else frozenset()
    return frozenset(node_ids) | _LOCAL_NAMES.get(node.type, frozenset()) | final


def _inputs_of(references: Iterable[Reference], others: Collection[str]) -> Iterator[str]:
    for reference in references:
        if reference.root == "inputs":
            yield reference.path[0] if reference.path else ALL_INPUTS
        elif reference.root not in others:
            yield reference.root


def binding_references(binding: Binding) -> tuple[Reference, ...]:
    """What a binding itself reads, its members aside; nothing for one that does not parse."""
    try:
        if binding.kind == "expression" and binding.source is not None:
            return parse_expression(binding.source).references
        if binding.kind == "template" and binding.source is not None:
            return parse_template(binding.source).references
        if binding.kind == "given" and binding.source is not None:
            root, _, name = binding.source.partition(".")
            return (Reference(root=root, path=(name,)),)
    except ExpressionInvalid:
        return ()
    return ()


def _argument_references(leaf: Leaf) -> Iterator[Reference]:
    pending = list(leaf.arguments.values())
    while pending:
        binding = pending.pop()
        pending.extend(binding.members.values())
        yield from binding_references(binding)
