"""What a node does, from its configuration: the thing that it names is found, and its arguments are held against it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from runs.plan import NODE_FIELDS, Binding, Leaf, Plan
from runs.rerun_plan import binding_references
from runs.signatures import Catalog, StepSignature
from scl.schema_defaults import with_defaults
from workflows.body_inputs import BodyInputs
from workflows.constant_values import constant_of
from workflows.dag_bindings import BindingReader, Scope, type_by_form
from workflows.dag_document import Document, PathSteps
from workflows.dag_graph import did_you_mean
from workflows.dag_references import texts_of
from workflows.dag_spec import BODY_OUTPUT, DagSpec, LeafForm
from workflows.errors import SpecProblem
from workflows.node_configs import (
    ApprovalConfig,
    CodeConfig,
    FunctionConfig,
    LlmConfig,
    PolicySpec,
    ToolConfig,
    WaitConfig,
    WorkflowConfig,
)
from workflows.plan_values import code_parameters, model_parameters, step_policy
from workflows.schema_checks import usable_schema
from workflows.schema_types import Schema, can_hold

#: What an approval gives.
APPROVAL_OUTPUT: Schema = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "by": {"type": ["string", "null"]},
        "comment": {"type": ["string", "null"]},
    },
    "required": ["approved", "by", "comment"],
    "additionalProperties": False,
}

#: The plan of the nodes that stand in a node, for inputs of this schema; None when something is wrong with it.
CompileInner = Callable[[DagSpec, Document, Schema], Plan | None]


class LeafCompiler:
    """Compiles what nodes do; problems gather in the list that it was given."""

    def __init__(
        self,
        document: Document,
        catalog: Catalog,
        reader: BindingReader,
        problems: list[SpecProblem],
        *,
        policy: PolicySpec,
        compile_inner: CompileInner,
    ) -> None:
        self._document, self._policy, self._catalog = document, policy, catalog
        self._reader, self._problems, self._compile_inner = reader, problems, compile_inner

    def compile(self, form: LeafForm, scope: Scope, path: PathSteps, policy: PolicySpec) -> tuple[Leaf, Schema | None]:
        """The leaf whose configuration stands at `path`, and what is known of its output."""
        config = form.config
        if isinstance(config, ApprovalConfig | WaitConfig):
            return self._gate(form, config, scope, path, policy)
        if isinstance(config, WorkflowConfig):
            return self._workflow(form, config, scope, path, policy)
        chosen = step_policy(policy, self._policy)
        target, values, signature = self._callee(config, chosen.quality, path)
        kind = form.type
        arguments_path = (*path, "tool_args" if kind == "tool" else "inputs")
        bindings = self._reader.arguments(values, scope, arguments_path, texts_are_expressions=kind != "tool")
        if signature is not None:
            self._reader.check_call(signature, bindings, scope, arguments_path)
        leaf = Leaf(
            kind=kind,  # type: ignore[arg-type]  # one of four literals
            target=target,
            arguments=bindings,
            policy=chosen,
            reads=nodes_read(bindings, scope.nodes),
            parameters=model_parameters(config) if isinstance(config, LlmConfig) else None,
            program=code_parameters(config) if isinstance(config, CodeConfig) else None,
            output_schema=config.output_schema if isinstance(config, LlmConfig | CodeConfig) else None,
            contract=self._catalog.contracts.get(target) if kind == "tool" else None,
        )
        return leaf, self._output_schema(config, signature, path)

    def _callee(
        self, config: LlmConfig | ToolConfig | FunctionConfig | CodeConfig, quality: str, path: PathSteps
    ) -> tuple[str, dict[str, Any], StepSignature | None]:
        """What is called, with what, and what is known of it."""
        if isinstance(config, ToolConfig):
            signature = self._find(self._catalog.tools, config.tool_name, "tool", (*path, "tool_name"))
            return config.tool_name, config.tool_args, signature
        if isinstance(config, FunctionConfig):
            name = config.function_name
            return name, config.inputs, self._find(self._catalog.functions, name, "function", (*path, "function_name"))
        if isinstance(config, CodeConfig):
            return config.language, config.inputs, None
        self._check_model(config, quality, path)
        return config.prompt_ref, config.inputs, self._prompt(config.prompt_ref, (*path, "prompt_ref"))

    def _gate(
        self, form: LeafForm, config: ApprovalConfig | WaitConfig, scope: Scope, path: PathSteps, policy: PolicySpec
    ) -> tuple[Leaf, Schema | None]:
        if isinstance(config, ApprovalConfig):
            self._check_approvers(config, path)
            shown = self._reader.arguments(config.show, scope, (*path, "show"), texts_are_expressions=True)
            message = self._reader.arguments({"message": config.message}, scope, path, texts_are_expressions=False)
            bindings = {"message": message["message"], **{f"show.{name}": value for name, value in shown.items()}}
            output: Schema | None = APPROVAL_OUTPUT
        else:
            given = {name: value for name in ("until", "event") if (value := getattr(config, name)) is not None}
            bindings = self._reader.arguments(given, scope, path, texts_are_expressions="until" in given)
            self._check_instant(bindings.get("until"), scope, (*path, "until"))
            output = None
        leaf = Leaf(
            kind=form.type,  # type: ignore[arg-type]  # approval or wait
            target=form.type,
            arguments=bindings,
            policy=step_policy(policy, self._policy),
            reads=nodes_read(bindings, scope.nodes),
        )
        return leaf, output

    def _workflow(
        self, form: LeafForm, config: WorkflowConfig, scope: Scope, path: PathSteps, policy: PolicySpec
    ) -> tuple[Leaf, Schema | None]:
        if form.is_body and form.inner is not None:
            return self._node_as_body(form.inner, scope, path, policy)
        bindings = self._reader.arguments(config.inputs, scope, (*path, "inputs"), texts_are_expressions=True)
        if form.inner is not None:
            types = {name: self._reader.type_of(binding, scope) for name, binding in bindings.items()}
            inputs: Schema = {
                "type": "object",
                "properties": {name: known or {} for name, known in types.items()},
                "required": list(types),
                "additionalProperties": False,
            }
            plan = self._compile_inner(form.inner, self._document.part(path, {}), inputs)
            target = "inline"
        else:
            plan, target = self._registered(config, path), _reference(config)
            if plan is not None and plan.inputs_schema is not None:
                signature = StepSignature(
                    name=target, description="", input_schema=_given(plan.inputs_schema), output_schema=None
                )
                self._reader.check_call(signature, bindings, scope, (*path, "inputs"))
        leaf = Leaf(
            kind="workflow",
            target=f"{plan.name}@{plan.version}" if plan is not None and form.inner is None else target,
            arguments=bindings,
            policy=step_policy(policy, self._policy),
            reads=nodes_read(bindings, scope.nodes),
            plan=plan,
        )
        return leaf, _outputs_of(plan)

    def _node_as_body(
        self, inner: DagSpec, scope: Scope, path: PathSteps, policy: PolicySpec
    ) -> tuple[Leaf, Schema | None]:
        """The run below of the one node that a body is: its inputs are what the node reads."""
        given = BodyInputs(self._document, self._reader, scope, path)
        for text in texts_of(inner.nodes[0]):
            given.read(text)
        self._problems.extend(given.problems)
        plan = self._compile_inner(inner, self._document.part(path, {}), given.schema)
        bindings = given.bindings
        leaf = Leaf(
            kind="workflow",
            target="inline",
            arguments=bindings,
            policy=step_policy(policy, self._policy),
            reads=nodes_read(bindings, scope.nodes),
            plan=plan,
            result=BODY_OUTPUT,
        )
        return leaf, _output_of_body(plan)

    def _registered(self, config: WorkflowConfig, path: PathSteps) -> Plan | None:
        key = (str(config.name), config.version)
        if key not in self._catalog.workflows and self._catalog.lists_workflows:
            reason = self._catalog.workflow_problems.get(key, f"there is no workflow {_reference(config)!r}")
            self._add("unknown_workflow", (*path, "name"), reason)
        return self._catalog.workflows.get(key)

    def _output_schema(
        self,
        config: LlmConfig | ToolConfig | FunctionConfig | CodeConfig,
        signature: StepSignature | None,
        path: PathSteps,
    ) -> Schema | None:
        if not isinstance(config, LlmConfig | CodeConfig):
            return signature.output_schema if signature else None
        if config.output_schema is None:
            return {"type": "string"} if isinstance(config, LlmConfig) else None
        return usable_schema(config.output_schema, (*path, "output_schema"), self._document, self._problems)

    def _find(self, known: Mapping[str, StepSignature], name: str, noun: str, path: PathSteps) -> StepSignature | None:
        if name not in known:
            reason = self._catalog.tool_problems.get(name) if noun == "tool" else None
            hint = did_you_mean(name, known, self._problems)
            self._add(f"unknown_{noun}", path, reason or f"there is no {noun} {name!r}{hint}")
        return known.get(name)

    def _prompt(self, reference: str, path: PathSteps) -> StepSignature | None:
        if reference not in self._catalog.prompts:
            reason = self._catalog.prompt_problems.get(reference, f"there is no prompt {reference!r}")
            self._add("unknown_prompt", path, reason)
        return self._catalog.prompts.get(reference)

    def _check_model(self, config: LlmConfig, quality: str, path: PathSteps) -> None:
        """Tells a model that is not offered, or a quality that none is offered for."""
        models = self._catalog.models
        if models is None or config.model in models:
            return
        if config.model is not None:
            offered = ", ".join(sorted(models)) or "none"
            close = did_you_mean(config.model, models) if len(models) > 1 else ""
            message = f"model {config.model!r} is not offered; MODELS offers: {offered}{close}"
            self._add("unknown_model", (*path, "model"), message)
        elif models and not any(quality in qualities for qualities in models.values()):
            offered = ", ".join(f"{model} ({', '.join(sorted(models[model]))})" for model in sorted(models))
            self._add("unknown_model", path, f"no model is offered for the quality {quality}; MODELS offers: {offered}")

    def _check_instant(self, until: Binding | None, scope: Scope, path: PathSteps) -> None:
        """Tells what can be no instant in any run."""
        if until is None:
            return
        constant, known = constant_of(until), self._reader.type_of(until, scope) or type_by_form(until)
        given = constant.value if constant is not None else "2000-01-01T00:00:00Z"
        if not can_hold(known, {"type": "string"}) or not _is_instant(given):
            message = "write an instant with its offset, in quotes inside the quotes: \"'2026-01-02T03:04:05Z'\""
            self._add("unfit_value", path, message)

    def _check_approvers(self, config: ApprovalConfig, path: PathSteps) -> None:
        """Tells approvers that no API key of the organisation is called like: nobody could decide."""
        known = self._catalog.approvers
        lists = [
            (config.approvers, path),
            *((step.approvers, (*path, "escalate", at)) for at, step in enumerate(config.escalate)),
        ]
        for names, place in lists if known is not None else []:
            for at, name in enumerate(names):
                if name not in (known or ()):
                    message = f"the organisation has no API key {name!r}{did_you_mean(name, known or ())}"
                    self._add("unknown_approver", (*place, "approvers", at), message)

    def _add(self, code: str, path: PathSteps, message: str) -> None:
        self._problems.append(self._document.problem(code, path, message))


def nodes_read(bindings: Mapping[str, Binding], nodes: Any) -> tuple[str, ...]:
    """The ids of the nodes whose outputs or states arguments read."""
    found: dict[str, None] = {}
    pending = list(bindings.values())
    while pending:
        binding = pending.pop()
        pending.extend(binding.members.values())
        for reference in binding_references(binding):
            if reference.root in nodes and not NODE_FIELDS.isdisjoint(reference.path[:1]):
                found[reference.root] = None
    return tuple(sorted(found))


def _is_instant(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _given(schema: Schema) -> Schema:
    """The schema of what a run must be given: what has a default may be left out."""
    required = schema.get("required")
    if not required:
        return schema
    filled = with_defaults({}, schema)
    return {**schema, "required": [name for name in required if name not in filled]}


def _reference(config: WorkflowConfig) -> str:
    return str(config.name) if config.version is None else f"{config.name}@{config.version}"


def _outputs_of(plan: Plan | None) -> Schema | None:
    if plan is None:
        return None
    names = sorted(plan.outputs)
    return {
        "type": "object",
        "properties": {name: {} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _output_of_body(plan: Plan | None) -> Schema | None:
    if plan is None:
        return None
    [node] = plan.nodes
    if node.type == "agent":
        return node.leaf.output_schema or {"type": "string"}
    return {"type": "array"} if node.type == "map" else None
