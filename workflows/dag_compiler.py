"""From a document to a plan: names, references, types and cycles are checked before anything runs."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from runs.expressions import Reference, parse_expression
from runs.plan import (
    PLAN_FORMAT,
    Binding,
    CodeParameters,
    Escalation,
    Fact,
    GatePlan,
    Leaf,
    MapPlan,
    ModelParameters,
    Plan,
    PlanNode,
    RetryPlan,
    StepPolicy,
    TimeoutPlan,
)
from runs.rerun_plan import binding_references
from runs.signatures import Catalog, StepSignature
from scl.errors import InvalidSchema
from scl.schema_validation import check_schema
from workflows.dag_bindings import BindingReader, Scope
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps, in_order
from workflows.dag_graph import Upstream, all_upstream, did_you_mean, find_cycle, read_graph
from workflows.dag_spec import DagSpec, NodeSpec, read_parts
from workflows.errors import SpecInvalid, SpecProblem
from workflows.node_configs import (
    ApprovalConfig,
    CodeConfig,
    FunctionConfig,
    LeafConfig,
    LlmConfig,
    MapConfig,
    PolicySpec,
    ReduceConfig,
    RetrySpec,
    TimeoutSpec,
    ToolConfig,
    WaitConfig,
)
from workflows.schema_types import Schema, describe, schema_at, types_of

#: Seconds that one attempt may take where the document does not say.
DEFAULT_RUN_SECONDS: Mapping[str, float] = {
    "llm": 120.0,
    "tool": 300.0,
    "function": 60.0,
    "code": 420.0,
    # Opening and closing; waiting itself is the workflow's, and has its own time.
    "approval": 60.0,
    "wait": 60.0,
}
#: Seconds without a heartbeat after which a worker is taken for dead, and a cancellation has arrived.
DEFAULT_IDLE_SECONDS = 10.0

#: What an approval gives.
APPROVAL_OUTPUT: Schema = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "by": {"type": ["string", "null"]},
        "comment": {"type": ["string", "null"]},
    },
    "required": ["approved", "by", "comment"],
}
#: Functions cost less than their own bookkeeping; this many of them are one activity.
FUNCTION_BATCH = 500

_METASCHEMA = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def compile_dag(document: Document, catalog: Catalog) -> Plan:
    """The plan of a document; raises SpecInvalid with every problem that can be found."""
    spec, problems = read_parts(document)
    return _Compiler(document, spec, catalog, problems).compile()


class _Compiler:
    """One compilation; problems gather until the end, so that people mend a document once."""

    def __init__(self, document: Document, spec: DagSpec, catalog: Catalog, problems: list[SpecProblem]) -> None:
        self._document, self._spec, self._catalog = document, spec, catalog
        #: Those of the document's form come in, those of its meaning are added.
        self._problems = problems
        self._reader = BindingReader(document, self._problems)
        self._inputs: Schema | None = None
        self._outputs: dict[str, Schema | None] = {}
        #: Root (`inputs` or a node) → facts that scheduling needs of it.
        self._facts: dict[str, dict[Fact, None]] = {"inputs": {}}

    def compile(self) -> Plan:
        of_form = len(self._problems)
        upstream = read_graph(self._spec, self._document, self._problems)
        cycle = find_cycle(upstream)
        if cycle is not None:
            self._add_cycle(cycle)
        everyone = frozenset(upstream)
        # In a broken graph everyone counts as upstream: what only follows from the break is not told as well.
        is_broken = len(self._problems) > of_form or bool(self._spec.broken_ids) or not self._spec.edges_are_whole
        before = dict.fromkeys(upstream, everyone) if is_broken else all_upstream(upstream)
        self._inputs = self._inputs_checked()
        # Producers first, so that consumers know their types.
        order = sorted(range(len(self._spec.nodes)), key=lambda position: len(before[self._spec.nodes[position].id]))
        compiled = {position: self._node(position, upstream, before) for position in order}
        outputs = self._reader.arguments(
            self._spec.outputs, self._scope(everyone), self._spec.part_path("outputs"), texts_are_expressions=True
        )
        if self._problems:
            raise SpecInvalid(in_order(self._problems))
        return self._plan([compiled[position] for position in range(len(compiled))], outputs)

    def _plan(self, nodes: list[PlanNode], outputs: dict[str, Binding]) -> Plan:
        facts = {root: tuple(sorted(wanted, key=lambda fact: fact.key)) for root, wanted in self._facts.items()}
        with_facts = [_with_facts(node, facts.get(node.node_id, ())) for node in nodes]
        return Plan(
            format=PLAN_FORMAT,
            name=self._spec.name,
            version=self._spec.version,
            nodes=tuple(with_facts),
            inputs_schema=self._inputs_schema(),
            input_facts=facts["inputs"],
            outputs=outputs,
            output_reads=_reads(outputs, {node.node_id for node in nodes}),
            restore_outputs=bool(self._spec.policy.restore),
            priority=self._spec.priority,
            fairness_key=self._spec.fairness_key,
        )

    def _inputs_schema(self) -> dict[str, Any] | None:
        """The document's schema, or one that asks for every input that the expressions name."""
        if self._spec.inputs is not None:
            return self._spec.inputs
        used = list(self._reader.inputs_used)
        return {"type": "object", "required": used} if used else None

    def _inputs_checked(self) -> Schema | None:
        path = self._spec.part_path("inputs")
        schema = self._usable(self._spec.inputs, path)
        if types_of(schema) not in {None, frozenset({"object"})}:
            self._add("wrong_type", (*path, "type"), "inputs are an object; write type: object")
        return schema

    def _usable(self, schema: Schema | None, path: PathSteps) -> Schema | None:
        """The document's schema at `path`; None, which is unknown, when there is none or it is wrong."""
        if schema is None:
            return None
        faults = _schema_faults(schema)
        for place, message in faults:
            self._add("invalid_schema", (*path, *place), message)
        return None if faults else schema

    def _node(self, position: int, upstream: Upstream, before: Mapping[str, frozenset[str]]) -> PlanNode:
        node, path = self._spec.nodes[position], self._spec.node_path(position)
        scope = self._scope(before[node.id])
        config, config_path, kind = node.settings, (*path, "config"), node.type
        over: Reference | None = None
        local: dict[str, Schema | None] = {}
        if isinstance(config, MapConfig | ReduceConfig):
            over, over_schema = self._over(config.over, scope, (*config_path, "over"))
            if isinstance(config, MapConfig):
                local = {"item": _items(over_schema), "index": {"type": "integer"}}
            else:
                local = {"items": over_schema}
            config_path, kind = (*config_path, "body", "config"), config.body.type
        leaf, output = self._leaf(node.leaf, self._scope(before[node.id], local), config_path, node)
        output = _list_of(output, config) if isinstance(config, MapConfig) else output
        # A node whose failure the run goes on from may have no output: nothing is known of its type.
        self._outputs[node.id] = output if node.on_error == "fail" else None
        if node.when is not None:
            self._condition(node.when, scope, (*path, "when"))
        return PlanNode(
            node_id=node.id,
            type=node.type,
            leaf=leaf,
            upstream=upstream[node.id],
            retry=_retry(node.retry or self._spec.defaults.retry),
            timeout=_timeout(node.timeout or self._spec.defaults.timeout, kind),
            when=node.when,
            on_error=node.on_error,
            over_root=over.root if over else None,
            over_path=over.path if over else (),
            window=node.settings.window if isinstance(node.settings, MapConfig) else 1,
            map=self._map(node.settings, path) if isinstance(node.settings, MapConfig) else None,
            gate=_gate(node.settings) if isinstance(node.settings, ApprovalConfig | WaitConfig) else None,
        )

    def _map(self, config: MapConfig, path: PathSteps) -> MapPlan:
        if config.batch is not None and config.batch > 1 and config.body.type != "function":
            message = f"each {config.body.type} call is an activity of its own; leave `batch` to functions"
            self._add("unusable_batch", (*path, "config", "batch"), message)
        default = FUNCTION_BATCH if config.body.type == "function" else 1
        return MapPlan(
            batch=config.batch or default,
            max_items=config.max_items,
            tolerated_failures=config.tolerate.count,
            tolerated_percent=config.tolerate.percent,
        )

    def _leaf(self, config: LeafConfig, scope: Scope, path: PathSteps, node: NodeSpec) -> tuple[Leaf, Schema | None]:
        if isinstance(config, ToolConfig):
            kind, target, field, values = "tool", config.tool_name, "tool_name", config.tool_args
            signature = self._find(self._catalog.tools, target, "tool", (*path, field))
        elif isinstance(config, FunctionConfig):
            kind, target, field, values = "function", config.function_name, "function_name", config.inputs
            signature = self._find(self._catalog.functions, target, "function", (*path, field))
        elif isinstance(config, CodeConfig):
            kind, target, values, signature = "code", config.language, config.inputs, None
        elif isinstance(config, ApprovalConfig | WaitConfig):
            return self._gate_leaf(config, scope, path, node)
        else:
            kind, target, field, values = "llm", config.prompt_ref, "prompt_ref", config.inputs
            signature = self._prompt(target, (*path, field))
        arguments_path = (*path, "tool_args" if kind == "tool" else "inputs")
        bindings = self._reader.arguments(values, scope, arguments_path, texts_are_expressions=kind != "tool")
        if signature is not None:
            self._reader.check_call(signature, bindings, scope, arguments_path)
        leaf = Leaf(
            kind=kind,  # type: ignore[arg-type]  # one of four literals above
            target=target,
            arguments=bindings,
            policy=_policy(node.policy, self._spec.policy),
            reads=_reads(bindings, scope.nodes),
            parameters=_parameters(config) if isinstance(config, LlmConfig) else None,
            program=_program(config) if isinstance(config, CodeConfig) else None,
            output_schema=config.output_schema if isinstance(config, LlmConfig | CodeConfig) else None,
        )
        return leaf, self._output_schema(config, signature, path)

    def _gate_leaf(
        self, config: ApprovalConfig | WaitConfig, scope: Scope, path: PathSteps, node: NodeSpec
    ) -> tuple[Leaf, Schema | None]:
        if isinstance(config, ApprovalConfig):
            shown = self._reader.arguments(config.show, scope, (*path, "show"), texts_are_expressions=True)
            message = self._reader.arguments({"message": config.message}, scope, path, texts_are_expressions=False)
            bindings = {"message": message["message"], **{f"show.{name}": value for name, value in shown.items()}}
            output: Schema | None = APPROVAL_OUTPUT
        else:
            given = {name: value for name in ("until", "event") if (value := getattr(config, name)) is not None}
            bindings = self._reader.arguments(given, scope, path, texts_are_expressions="until" in given)
            output = None
        leaf = Leaf(
            kind=node.type,  # type: ignore[arg-type]  # approval or wait
            target=node.type,
            arguments=bindings,
            policy=_policy(node.policy, self._spec.policy),
            reads=_reads(bindings, scope.nodes),
        )
        return leaf, output

    def _output_schema(self, config: LeafConfig, signature: StepSignature | None, path: PathSteps) -> Schema | None:
        if not isinstance(config, LlmConfig | CodeConfig):
            return signature.output_schema if signature else None
        if config.output_schema is None:
            return {"type": "string"} if isinstance(config, LlmConfig) else None
        return self._usable(config.output_schema, (*path, "output_schema"))

    def _find(self, known: Mapping[str, StepSignature], name: str, noun: str, path: PathSteps) -> StepSignature | None:
        if name not in known:
            self._add(f"unknown_{noun}", path, f"there is no {noun} {name!r}{did_you_mean(name, known)}")
        return known.get(name)

    def _prompt(self, reference: str, path: PathSteps) -> StepSignature | None:
        if reference not in self._catalog.prompts:
            reason = self._catalog.prompt_problems.get(reference, f"there is no prompt {reference!r}")
            self._add("unknown_prompt", path, reason)
        return self._catalog.prompts.get(reference)

    def _over(self, source: str, scope: Scope, path: PathSteps) -> tuple[Reference | None, Schema | None]:
        """The list that a map or reduce goes over: a plain path, because its size must be a fact."""
        known_problems = len(self._problems)
        self._reader.expression(source, scope, path)
        if len(self._problems) > known_problems:
            return None, None
        plain = parse_expression(source).plain
        is_status = plain is not None and plain.root in scope.nodes and plain.path[:1] == ("status",)
        if plain is None or is_status or any(step.isdigit() for step in plain.path):
            self._add("invalid_expression", path, "name a list by its path, such as split.output.chunks")
            return None, None
        schema = self._reader.schema_of(plain, scope)
        types = types_of(schema)
        if types is not None and "array" not in types:
            self._add("wrong_type", path, f"{source!r} is of type {describe(schema)}; a list is needed")
        over = self._as_fact_root(plain, scope)
        self._facts.setdefault(over.root, {})[Fact(path=over.path, kind="size")] = None
        return over, schema

    def _condition(self, source: str, scope: Scope, path: PathSteps) -> None:
        for reference in self._reader.expression(source, scope, path):
            if reference.root in scope.nodes and reference.path[:1] == ("status",):
                continue
            target = self._as_fact_root(reference, scope)
            upto = next((at for at, step in enumerate(target.path) if step.isdigit()), len(target.path))
            self._facts.setdefault(target.root, {})[Fact(path=target.path[:upto], kind="value")] = None

    @staticmethod
    def _as_fact_root(reference: Reference, scope: Scope) -> Reference:
        """`node.output.a` as node + (a), `inputs.a` and a bare `a` as inputs + (a)."""
        if reference.root in scope.nodes:
            return Reference(root=reference.root, path=reference.path[1:])
        path = reference.path if reference.root == "inputs" else (reference.root, *reference.path)
        return Reference(root="inputs", path=path)

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

    def _add_cycle(self, cycle: list[str]) -> None:
        position = next(at for at, node in enumerate(self._spec.nodes) if node.id == cycle[0])
        message = f"the nodes wait for each other in a circle: {' → '.join(cycle)}; remove one of these edges"
        self._add("cycle", self._spec.node_path(position), message)

    def _add(self, code: str, path: PathSteps, message: str) -> None:
        self._problems.append(self._document.problem(code, path, message))


def _schema_faults(schema: Schema) -> list[tuple[PathSteps, str]]:
    """Where a schema is wrong, and how."""
    try:
        faults = [
            (tuple(fault.absolute_path), f"this is not JSON Schema: {fault.message[:200]}")
            for fault in islice(_METASCHEMA.iter_errors(schema), MAX_PROBLEMS)
        ]
        if not faults:
            check_schema(schema)
    except InvalidSchema as error:
        return [((), f"this schema cannot be used: {problem}") for problem in error.problems]
    except (ArithmeticError, ValueError, RecursionError) as error:
        # Patterns and URLs that the standard library's readers stumble over.
        return [((), f"this schema cannot be used: {str(error)[:200]}")]
    # Several vocabularies of the metaschema find the same fault.
    return list(dict.fromkeys(faults))


def _with_facts(node: PlanNode, facts: tuple[Fact, ...]) -> PlanNode:
    values = {name: getattr(node, name) for name in PlanNode.__dataclass_fields__}
    return PlanNode(**{**values, "facts": facts})


def _reads(bindings: Mapping[str, Binding], nodes: Any) -> tuple[str, ...]:
    found: dict[str, None] = {}
    pending = list(bindings.values())
    while pending:
        binding = pending.pop()
        pending.extend(binding.members.values())
        for reference in binding_references(binding):
            if reference.root in nodes and reference.path[:1] in {("output",), ("status",)}:
                found[reference.root] = None
    return tuple(sorted(found))


def _list_of(item: Schema | None, config: MapConfig) -> Schema:
    """What a map gives; where failures are tolerated, any item may be null."""
    may_be_null = config.tolerate.count > 0 or config.tolerate.percent > 0
    return {"type": "array"} if may_be_null or item is None else {"type": "array", "items": item}


def _items(schema: Schema | None) -> Schema | None:
    return schema_at(schema, ("0",))[0] if schema else None


def _retry(spec: RetrySpec | None) -> RetryPlan:
    if spec is None:
        return RetryPlan()
    return RetryPlan(attempts=spec.attempts, initial_seconds=spec.initial, factor=spec.factor, max_seconds=spec.max)


def _timeout(spec: TimeoutSpec | None, kind: str) -> TimeoutPlan:
    given = spec or TimeoutSpec()
    run_seconds = given.run or DEFAULT_RUN_SECONDS[kind]
    return TimeoutPlan(
        run_seconds=run_seconds,
        idle_seconds=min(given.idle or DEFAULT_IDLE_SECONDS, run_seconds),
        queue_seconds=given.queue,
        total_seconds=given.total,
    )


def _policy(node: PolicySpec, document: PolicySpec) -> StepPolicy:
    chosen = {
        name: value
        for name in PolicySpec.model_fields
        if (value := getattr(node, name)) is not None or (value := getattr(document, name)) is not None
    }
    return StepPolicy(**chosen)


def _gate(config: ApprovalConfig | WaitConfig) -> GatePlan:
    if isinstance(config, WaitConfig):
        return GatePlan(wait_seconds=config.duration, timeout_seconds=config.timeout, on_timeout=config.on_timeout)
    return GatePlan(
        approvers=tuple(config.approvers),
        escalations=tuple(
            Escalation(after_seconds=step.after, approvers=tuple(step.approvers)) for step in config.escalate
        ),
        on_reject=config.on_reject,
        timeout_seconds=config.timeout,
        on_timeout=config.on_timeout,
    )


def _program(config: CodeConfig) -> CodeParameters:
    return CodeParameters(
        language=config.language,
        source=config.source,
        module=config.module,
        seed=config.seed,
        clock=config.clock,
        fuel=config.limits.fuel,
        memory_bytes=config.limits.memory_bytes,
        wall_seconds=config.limits.wall_seconds,
        output_bytes=config.limits.output_bytes,
    )


def _parameters(config: LlmConfig) -> ModelParameters:
    return ModelParameters(
        max_output_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        stop=tuple(config.stop),
        stream=config.stream,
        model=config.model,
    )
