"""From a document to a plan: names, references, types and cycles are checked before anything runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from runs.agent_plan import AgentPlan
from runs.expressions import DIALECT
from runs.plan import BODIES_FORMAT, PLAN_FORMAT, Binding, BranchPlan, Leaf, MapPlan, Plan, PlanNode
from runs.plan_bounds import MAX_STEPS, bounds_of, largest_node, times_of
from runs.signatures import Catalog
from workflows.agent_compiler import compile_agent
from workflows.agent_config import AgentConfig
from workflows.dag_bindings import BindingReader, Scope
from workflows.dag_conditions import INTEGER, ConditionReader
from workflows.dag_document import Document, PathSteps, in_order
from workflows.dag_graph import Upstream, all_upstream, find_cycle, judged_failures, read_graph, with_reads
from workflows.dag_references import nodes_that_are_read
from workflows.dag_spec import MAX_NODES, DagSpec, LeafForm, NodeSpec, read_parts
from workflows.errors import SpecInvalid, SpecProblem
from workflows.leaf_compiler import LeafCompiler, nodes_read
from workflows.node_configs import (
    ApprovalConfig,
    LoopConfig,
    MapConfig,
    NodeConfig,
    PolicySpec,
    ReduceConfig,
    RetrySpec,
    TimeoutSpec,
    WaitConfig,
)
from workflows.plan_values import gate_plan, loop_plan, map_plan, retry_plan, step_policy, timeout_plan
from workflows.schema_checks import check_defaults, usable_schema
from workflows.schema_types import Schema, schema_at, types_of

#: Nodes of all workflows that a document comes to, those that it names included.
MAX_NODES_IN_ALL = 2_048
#: Runs below runs: each makes the id longer.
MAX_DEPTH = 6

_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
#: What the nodes of `finally` see of the run.
_RUN: Schema = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "failed_node": _TEXT_OR_NULL, "error_code": _TEXT_OR_NULL},
    "additionalProperties": False,
}


def compile_dag(document: Document, catalog: Catalog, *, is_registered: bool = False) -> Plan:
    """The plan of a document; raises SpecInvalid with every problem that can be found.

    What `is_registered` was accepted once, and is not held to the rules of registration again.
    """
    spec, problems = read_parts(document)
    plan = _Compiler(document, spec, catalog, problems).compile()
    too_large = _size_problem(plan) if plan is not None else None
    if too_large is not None:
        problems.append(document.problem("too_large", *_place_of(too_large, spec)))
    told = [problem for problem in problems if problem.breaks_the_plan or not is_registered]
    if plan is None or told:
        raise SpecInvalid(in_order(told))
    return plan


class _Compiler:
    """One compilation; problems gather until the end, so that people mend a document once."""

    def __init__(
        self,
        document: Document,
        spec: DagSpec,
        catalog: Catalog,
        problems: list[SpecProblem],
        *,
        inputs: Schema | None = None,
    ) -> None:
        self._document, self._spec, self._catalog = document, spec, catalog
        #: Those of the document's form come in, those of its meaning are added.
        self._problems = problems
        self._reader = BindingReader(document, self._problems)
        self._conditions = ConditionReader(document, self._reader, problems)
        self._leaves = LeafCompiler(
            document, catalog, self._reader, problems, policy=spec.policy, compile_inner=self._inner
        )
        #: What is known of the inputs: given for nodes inside a node, whose inputs are its arguments.
        self._inputs, self._is_inner = inputs, inputs is not None
        self._outputs: dict[str, Schema | None] = {}

    def compile(self) -> Plan | None:
        """The plan; None when there are problems."""
        of_form = len(self._problems)
        explicit = read_graph(self._spec, self._document, self._problems)
        upstream, implied = with_reads(explicit, nodes_that_are_read(self._spec))
        cycle = find_cycle(upstream)
        if cycle is not None:
            self._add_cycle(cycle, implied)
        # In a broken graph everyone counts as upstream: what only follows from the break is not told as well.
        is_broken = len(self._problems) > of_form or bool(self._spec.broken_ids) or not self._spec.edges_are_whole
        before = dict.fromkeys(upstream, frozenset(upstream)) if is_broken else self._before(upstream)
        if not self._is_inner:
            self._inputs = self._inputs_checked()
        # Producers first, so that consumers know their types.
        order = sorted(range(len(self._spec.nodes)), key=lambda position: len(before[self._spec.nodes[position].id]))
        compiled = {position: self._node(position, upstream, before) for position in order}
        outputs = self._reader.arguments(
            self._spec.outputs,
            self._scope(frozenset(upstream)),
            self._spec.part_path("outputs"),
            texts_are_expressions=True,
        )
        if self._breaking():
            return None
        return self._plan([compiled[position] for position in range(len(compiled))], outputs)

    def _before(self, upstream: Upstream) -> Mapping[str, frozenset[str]]:
        """Node id → every node that has ended before it may begin; the nodes of `finally` come after all others."""
        before = all_upstream(upstream)
        main = frozenset(node.id for node in self._spec.nodes if not node.is_final)
        return before | {node.id: before[node.id] | main for node in self._spec.nodes if node.is_final}

    def _plan(self, nodes: list[PlanNode], outputs: dict[str, Binding]) -> Plan:
        return Plan(
            format=_format_of(nodes),
            dialect=DIALECT,
            name=self._spec.name,
            version=self._spec.version,
            nodes=tuple(replace(node, facts=self._conditions.facts_of(node.node_id)) for node in nodes),
            inputs_schema=self._inputs_schema(),
            input_facts=self._conditions.facts_of("inputs"),
            outputs=outputs,
            output_reads=nodes_read(outputs, {node.node_id for node in nodes}),
            restore_outputs=bool(self._spec.policy.restore) and not self._is_inner,
            concurrency=self._spec.concurrency,
            priority=self._spec.priority,
            fairness_key=self._spec.fairness_key,
        )

    def _inner(self, spec: DagSpec, document: Document, inputs: Schema) -> Plan | None:
        """The plan of nodes that stand in a node, with the policy and the defaults of what they stand in."""
        inherited = {name: getattr(self._spec, name) for name in ("name", "version", "policy", "defaults")}
        known = self._breaking()
        inner = _Compiler(document, spec.model_copy(update=inherited), self._catalog, self._problems, inputs=inputs)
        plan = inner.compile()
        return plan if self._breaking() == known else None

    def _breaking(self) -> int:
        """How many problems there are that no plan can be made with."""
        return sum(problem.breaks_the_plan for problem in self._problems)

    def _inputs_schema(self) -> dict[str, Any] | None:
        """The document's schema, or one that asks for every input that the expressions name."""
        if self._spec.inputs is not None:
            return self._spec.inputs
        used = list(self._inputs["required"]) if self._is_inner and self._inputs else list(self._reader.inputs_used)
        return {"type": "object", "required": used} if used else None

    def _inputs_checked(self) -> Schema | None:
        path = self._spec.part_path("inputs")
        schema = usable_schema(self._spec.inputs, path, self._document, self._problems)
        if schema is not None:
            check_defaults(schema, path, self._document, self._problems)
        if types_of(schema) not in {None, frozenset({"object"})}:
            self._add("wrong_type", (*path, "type"), "inputs are an object; write type: object")
        return schema

    def _node(self, position: int, upstream: Upstream, before: Mapping[str, frozenset[str]]) -> PlanNode:
        node, path = self._spec.nodes[position], self._spec.node_path(position)
        final: dict[str, Schema | None] = {"run": _RUN} if node.is_final else {}
        scope = self._scope(before[node.id], final)
        over, branches, output, local = None, dict[str, BranchPlan](), None, final
        if isinstance(node.settings, MapConfig | ReduceConfig):
            over, over_schema = self._conditions.over(node.settings.over, scope, (*path, "config", "over"))
            local = final | _names_of_body(node.settings, over_schema)
        elif isinstance(node.settings, LoopConfig):
            local = final | {"iteration": INTEGER, "last": None}
        inside = self._scope(before[node.id], local)
        if node.leaf is not None:
            leaf, output = self._leaf(node.leaf, inside, path, node.policy)
            if isinstance(node.settings, ReduceConfig) and node.settings.fan_in is not None:
                self._check_tree(leaf, path)
        else:
            branches, output = self._branches(node, scope, path)
            leaf = self._race_leaf(node, branches)
        output = _list_of(output, node.settings) if isinstance(node.settings, MapConfig) else output
        # A node whose failure the run goes on from may have no output: nothing is known of its type.
        self._outputs[node.id] = output if self._on_error(node) == "fail" else None
        self._check_conditions(node, scope, path)
        return PlanNode(
            node_id=node.id,
            type=node.type,
            leaf=leaf,
            upstream=upstream[node.id],
            **self._patience(node.retry, node.timeout, leaf.kind),
            when=node.when,
            depends=node.depends.strip() if isinstance(node.depends, str) else None,
            on_error=self._on_error(node),  # type: ignore[arg-type]  # one of two literals
            over_root=over.root if over else None,
            over_path=over.path if over else (),
            window=_window(node.settings),
            map=self._map(node.settings, path) if isinstance(node.settings, MapConfig) else None,
            gate=gate_plan(node.settings) if isinstance(node.settings, ApprovalConfig | WaitConfig) else None,
            loop=loop_plan(node.settings) if isinstance(node.settings, LoopConfig) else None,
            agent=self._agent(node.settings, path) if isinstance(node.settings, AgentConfig) else None,
            branches=branches,
            fan_in=node.settings.fan_in if isinstance(node.settings, ReduceConfig) else None,
            compensate=self._compensation(node, before[node.id] | {node.id}, path),
            is_final=node.is_final,
        )

    def _on_error(self, node: NodeSpec) -> str:
        return "continue" if node.id in judged_failures(self._spec) else node.on_error

    def _leaf(self, form: LeafForm, scope: Scope, path: PathSteps, policy: PolicySpec) -> tuple[Leaf, Schema | None]:
        return self._leaves.compile(form, scope, (*path, *form.place), policy)

    def _branches(self, node: NodeSpec, scope: Scope, path: PathSteps) -> tuple[dict[str, BranchPlan], Schema | None]:
        """A race's branches, and its output's type where all of them agree on it."""
        found: dict[str, BranchPlan] = {}
        outputs: list[Schema | None] = []
        for name, form in node.branches.items():
            leaf, output = self._leaf(form, scope, path, node.policy)
            found[name] = self._branch(form, leaf, node)
            outputs.append(output)
        agree = all(output == outputs[0] for output in outputs)
        return found, outputs[0] if agree else None

    def _branch(self, form: LeafForm, leaf: Leaf, node: NodeSpec) -> BranchPlan:
        patience = self._patience(form.retry or node.retry, form.timeout or node.timeout, leaf.kind)
        return BranchPlan(leaf=leaf, after_seconds=form.after_seconds, **patience)

    def _race_leaf(self, node: NodeSpec, branches: Mapping[str, BranchPlan]) -> Leaf:
        reads = {read for branch in branches.values() for read in branch.leaf.reads}
        policy = step_policy(node.policy, self._spec.policy)
        return Leaf(kind="race", target=", ".join(branches), arguments={}, policy=policy, reads=tuple(sorted(reads)))

    def _compensation(self, node: NodeSpec, visible: frozenset[str], path: PathSteps) -> BranchPlan | None:
        if node.taking_back is None:
            return None
        leaf, _ = self._leaf(node.taking_back, self._scope(visible), path, node.policy)
        return self._branch(node.taking_back, leaf, node)

    def _patience(self, retry: RetrySpec | None, timeout: TimeoutSpec | None, kind: str) -> dict[str, Any]:
        defaults = self._spec.defaults
        return {
            "retry": retry_plan(retry or defaults.retry),
            "timeout": timeout_plan(timeout or defaults.timeout, kind),
        }

    def _map(self, config: MapConfig, path: PathSteps) -> MapPlan:
        if config.batch is not None and config.batch > 1 and config.body.type != "function":
            message = f"each {config.body.type} call is an activity of its own; leave `batch` to functions"
            self._add("unusable_batch", (*path, "config", "batch"), message)
        return map_plan(config)

    def _agent(self, config: AgentConfig, path: PathSteps) -> AgentPlan:
        return compile_agent(config, self._catalog, self._document, (*path, "config"), self._problems)

    def _check_conditions(self, node: NodeSpec, scope: Scope, path: PathSteps) -> None:
        """Everything besides arguments that is an expression."""
        conditions, settings = self._conditions, node.settings
        if node.when is not None:
            conditions.condition(node.when, scope, (*path, "when"))
        if isinstance(settings, LoopConfig) and settings.until is not None:
            output = self._outputs[node.id]
            conditions.until(settings.until, scope, (*path, "config", "until"), node_id=node.id, output=output)
        conditions.retry(node.retry, path)
        for name, form in node.branches.items():
            conditions.retry(form.retry, (*path, "config", "branches", name))
        if node.taking_back is not None:
            conditions.retry(node.taking_back.retry, (*path, "compensate"))

    def _scope(self, visible: frozenset[str], local: Mapping[str, Schema | None] | None = None) -> Scope:
        return Scope(
            nodes={
                **dict.fromkeys(self._spec.broken_ids, True),
                **{node.id: node.id in visible for node in self._spec.nodes},
            },
            outputs=self._outputs,
            inputs_schema=self._inputs,
            local=local or {},
        )

    def _add_cycle(self, cycle: list[str], implied: Mapping[tuple[str, str], PathSteps]) -> None:
        """Names the circle, and the expressions that some of its edges stand in."""
        position = next(at for at, node in enumerate(self._spec.nodes) if node.id == cycle[0])
        path, what = self._spec.node_path(position), "one of these edges"
        reads = [(reader, read) for read, reader in pairwise(cycle) if (reader, read) in implied]
        if reads:
            path, what = implied[reads[0]], "one of these edges or references"
        told = "".join(f" ({reader} reads {read} at {self._where(implied[reader, read])})" for reader, read in reads)
        message = f"the nodes wait for each other in a circle: {' → '.join(cycle)}{told}; remove {what}"
        self._add("cycle", path, message)

    def _check_tree(self, leaf: Leaf, path: PathSteps) -> None:
        """What a function gives would be reduced again, as if it were an item."""
        known = self._catalog.functions.get(leaf.target) if leaf.kind == "function" else None
        if known is None or known.is_reducer:
            return
        able = ", ".join(sorted(name for name, function in self._catalog.functions.items() if function.is_reducer))
        message = f"what {leaf.target} gives is no item that it could reduce again; leave `fan_in` out, or use {able}"
        self._add("unusable_fan_in", (*path, "config", "fan_in"), message)

    def _where(self, path: PathSteps) -> str:
        return self._document.problem("", path, "").path

    def _add(self, code: str, path: PathSteps, message: str) -> None:
        self._problems.append(self._document.problem(code, path, message))


def _names_of_body(config: MapConfig | ReduceConfig, over: Schema | None) -> dict[str, Schema | None]:
    """What the body of a map or a reduce sees besides nodes and inputs."""
    if isinstance(config, MapConfig):
        return {"item": schema_at(over, ("0",))[0] if over else None, "index": INTEGER}
    # What is reduced again are results, of which nothing is known.
    return {"items": over if config.fan_in is None else {"type": "array"}}


def _window(config: NodeConfig) -> int:
    """How many steps of a node may be under way at once."""
    if isinstance(config, MapConfig) or (isinstance(config, ReduceConfig) and config.fan_in is not None):
        return config.window
    return 1


def _list_of(item: Schema | None, config: MapConfig) -> Schema:
    """What a map gives; where failures are tolerated, any item may be null."""
    may_be_null = config.tolerate.count > 0 or config.tolerate.percent > 0
    return {"type": "array"} if may_be_null or item is None else {"type": "array", "items": item}


def _format_of(nodes: Iterable[PlanNode]) -> int:
    """The oldest format that has all that the nodes say."""
    leaves = (leaf for node in nodes for leaf in node.all_leaves())
    below = [leaf.plan.format if leaf.plan is not None else PLAN_FORMAT for leaf in leaves if leaf.result is None]
    has_bodies = any(leaf.result is not None for node in nodes for leaf in node.all_leaves())
    return BODIES_FORMAT if has_bodies else max(below, default=PLAN_FORMAT)


def _plans_in(plan: Plan) -> Iterator[tuple[Plan, int]]:
    """A plan and all plans inside it, each with how deep it stands."""
    pending = [(plan, 0)]
    while pending:
        found, depth = pending.pop()
        yield found, depth
        leaves = (leaf for node in found.nodes for leaf in node.all_leaves())
        pending.extend((leaf.plan, depth + 1) for leaf in leaves if leaf.plan is not None)


def _nested(plan: Plan, node_id: str) -> Iterator[PlanNode]:
    """The node, and in what it runs each time the node that most steps are of, and so on."""
    found: PlanNode | None = plan.node(node_id)
    while found is not None:
        if times_of(found) > 1:
            yield found
        below = found.leaf.plan
        found = below.node(largest_node(bounds_of(below)).node_id) if below is not None else None


def _place_of(too_large: tuple[str | None, str], spec: DagSpec) -> tuple[PathSteps, str]:
    """Where the bound of the node that is to blame stands, or would; and what is too large."""
    node_id, message = too_large
    position = next((at for at, node in enumerate(spec.nodes) if node.id == node_id), None)
    if position is None:
        return (), message
    bound = "max_items" if spec.nodes[position].type == "map" else "max_iterations"
    return (*spec.node_path(position), "config", bound), message


def _size_problem(plan: Plan) -> tuple[str | None, str] | None:
    """What is too large about a plan with all plans inside it, with the node of it that is to blame."""
    nodes = 0
    for found, depth in _plans_in(plan):
        nodes += len(found.nodes)
        if len(found.nodes) > MAX_NODES:
            # How each of them ended is one payload when the run closes.
            return (
                None,
                f"with those of `finally` it has more than {MAX_NODES} nodes; let some be a `workflow` of their own",
            )
        if nodes > MAX_NODES_IN_ALL:
            return None, f"with the workflows that it names it has more than {MAX_NODES_IN_ALL:,} nodes; split it"
        if depth > MAX_DEPTH:
            return None, f"workflows stand in workflows more than {MAX_DEPTH} deep; flatten some of them"
    bounds = bounds_of(plan)
    if bounds.steps > MAX_STEPS:
        largest = largest_node(bounds)
        repeats = [f"{node.node_id!r} up to {times_of(node):,} times" for node in _nested(plan, largest.node_id)]
        return largest.node_id, (
            f"a run may come to {bounds.steps:,} steps, {largest.steps:,} of them of node {largest.node_id!r} "
            f"({', '.join(repeats)}); {MAX_STEPS:,} are allowed: set a lower `max_items` for its maps, "
            "or `max_iterations` for its loops"
        )
    return None
