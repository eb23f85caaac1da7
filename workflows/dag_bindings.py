"""Arguments of nodes: texts become expressions, and each reference is held against what will be there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runs.errors import ExpressionFailed, ExpressionInvalid
from runs.expressions import Expression, Reference, is_template, parse_expression, parse_template
from runs.plan import NODE_FIELDS, Binding
from runs.signatures import StepSignature
from workflows.constant_values import Constant, constant_of, constant_of_expression
from workflows.dag_document import Document, PathSteps
from workflows.dag_graph import did_you_mean
from workflows.errors import SpecProblem
from workflows.expression_types import types_by_form
from workflows.schema_checks import value_faults
from workflows.schema_types import Schema, can_hold, describe, schema_at
from workflows.unquoted_texts import meant_as_text, quoted

#: What there is of every node besides its output.
_ENDING: Schema = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "finish_reason": {"type": "string"},
        "error": {
            "type": ["object", "null"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that an expression may use, and what is known of their values."""

    #: Every node of the document; the value is False for one that is not upstream.
    nodes: Mapping[str, bool]
    outputs: Mapping[str, Schema | None]
    inputs_schema: Schema | None
    #: `item`, `index`, `items` where they are in scope.
    local: Mapping[str, Schema | None]

    def declares(self, word: str) -> bool:
        """Whether the document itself says that there is a value of this name."""
        properties = self.inputs_schema.get("properties") if self.inputs_schema else None
        return word == "inputs" or word in self.local or word in self.nodes or word in (properties or ())


class BindingReader:
    """Reads the arguments of a document, collecting problems, inferred inputs, and nothing else."""

    def __init__(self, document: Document, problems: list[SpecProblem]) -> None:
        self._document = document
        self._problems = problems
        #: Run inputs that expressions name, in order.
        self.inputs_used: dict[str, None] = {}

    def arguments(
        self, values: Mapping[str, Any], scope: Scope, path: PathSteps, *, texts_are_expressions: bool
    ) -> dict[str, Binding]:
        """A binding for each argument."""
        return {
            name: self.binding(value, scope, (*path, name), texts_are_expressions=texts_are_expressions)
            for name, value in values.items()
        }

    def binding(self, value: Any, scope: Scope, path: PathSteps, *, texts_are_expressions: bool) -> Binding:
        """The binding of one argument, nested ones included."""
        if isinstance(value, str) and is_template(value):
            self.template(value, scope, path)
            return Binding(kind="template", source=value)
        if isinstance(value, str) and texts_are_expressions:
            self.expression(value, scope, path)
            return Binding(kind="expression", source=value.strip())
        if isinstance(value, dict | list) and value:
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            members = {
                str(key): self.binding(part, scope, (*path, key), texts_are_expressions=texts_are_expressions)
                for key, part in parts
            }
            if all(member.kind == "literal" and member.shape is None for member in members.values()):
                return Binding(kind="literal", value=value)
            return Binding(kind="literal", shape="mapping" if isinstance(value, dict) else "list", members=members)
        return Binding(kind="literal", value=value)

    def expression(self, source: str, scope: Scope, path: PathSteps) -> tuple[Reference, ...]:
        """The references of an expression, each checked; none when it does not parse."""
        try:
            parsed = parse_expression(source)
        except ExpressionInvalid as error:
            self._add("invalid_expression", path, f"{error}; {_as_a_text(source)}")
            return ()
        return self._references(parsed, scope, path)

    def template(self, source: str, scope: Scope, path: PathSteps) -> None:
        """Checks the expressions inside `{{ }}`."""
        try:
            parsed = parse_template(source)
        except ExpressionInvalid as error:
            self._add("invalid_expression", path, str(error))
            return
        for part in parsed.parts:
            if isinstance(part, Expression):
                self._references(part, scope, path)

    def _references(self, parsed: Expression, scope: Scope, path: PathSteps) -> tuple[Reference, ...]:
        """The references of an expression that can have a value; its own faults are told besides."""
        looks_like = meant_as_text(parsed.source, scope.declares)
        if looks_like is not None:
            message = f"{parsed.source!r} looks like {looks_like} and would be computed; {_as_a_text(parsed.source)}"
            has_operators = "-" in parsed.source or "/" in parsed.source
            arithmetic = "; for arithmetic put spaces around its operators" if has_operators else ""
            self._add("looks_like_text", path, f"{message}{arithmetic}")
            return ()
        try:
            constant_of_expression(parsed)
        except ExpressionFailed as error:
            self._add("constant_fails", path, f"{error}, in any run; {_as_a_text(parsed.source)}")
        return tuple(ref for ref in parsed.references if self.reference(ref, scope, path))

    def reference(self, reference: Reference, scope: Scope, path: PathSteps) -> bool:
        """Whether a reference can have a value; adds a problem when it cannot."""
        root = reference.root
        if root in scope.local:
            return self._path_exists(reference, scope.local[root], reference.path, path)
        if root in scope.nodes:
            return self._node_reference(reference, scope, path)
        if root == "inputs":
            if not reference.path:
                return True
            return self._input(reference, reference.path, scope, path)
        if not NODE_FIELDS.isdisjoint(reference.path[:1]) and not scope.declares(root):
            self._add("unknown_node", path, f"there is no node {root!r}{self._hint(root, scope.nodes)}")
            return False
        return self._input(reference, (root, *reference.path), scope, path)

    def schema_of(self, reference: Reference, scope: Scope) -> Schema | None:
        """What is known of the value that a checked reference will have."""
        if reference.root in scope.local:
            return schema_at(scope.local[reference.root], reference.path)[0]
        if reference.root in scope.nodes:
            if reference.path[:1] != ("output",):
                return schema_at(_ENDING, reference.path)[0]
            return schema_at(scope.outputs.get(reference.root), reference.path[1:])[0]
        path = reference.path if reference.root == "inputs" else (reference.root, *reference.path)
        return schema_at(scope.inputs_schema or {"type": "object"}, path)[0]

    def check_call(
        self,
        signature: StepSignature,
        bindings: Mapping[str, Binding],
        scope: Scope,
        path: PathSteps,
    ) -> None:
        """Holds arguments against the signature of what they are for."""
        schema = signature.input_schema or {}
        self._check_names(signature, bindings, path)
        properties: Mapping[str, Any] = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        for name in schema.get("required", []):
            if name not in bindings:
                self._add("missing", path, f"{signature.name!r} needs the argument {name!r}")
        for name, binding in bindings.items():
            if name in properties:
                self._check_argument(schema, properties[name], binding, scope, (*path, name))
            elif closed:
                hint = self._hint(name, properties)
                self._add("unknown_argument", (*path, name), f"{signature.name!r} takes no argument {name!r}{hint}")

    def _check_names(self, signature: StepSignature, bindings: Mapping[str, Binding], path: PathSteps) -> None:
        """Tells what a template looks up and is not given, and what it is given and does not look at."""
        schema = signature.input_schema or {}
        for name in sorted(signature.needs.difference(bindings, schema.get("required", []))):
            self._add("missing_variable", path, f"{signature.name!r} uses {name!r}, which nothing gives; add {name!r}")
        if signature.takes is None or schema.get("additionalProperties") is False:
            return
        for name in bindings:
            if name not in signature.takes:
                message = f"{signature.name!r} has no variable {name!r}{self._hint(name, signature.takes)}"
                self._add("unknown_variable", (*path, name), message)

    def _check_argument(self, whole: Schema, wanted: Schema, binding: Binding, scope: Scope, path: PathSteps) -> None:
        constant = constant_of(binding)
        if constant is not None:
            code = "wrong_type" if binding.kind == "literal" and binding.shape is None else "unfit_value"
            for message in value_faults(constant.value, wanted, whole):
                self._add(code, path, message if code == "wrong_type" else f"this gives {_shown(constant)}: {message}")
            return
        given = self.type_of(binding, scope)
        by_form = given is None
        given = given or type_by_form(binding)
        if given is not None and not can_hold(given, wanted):
            message = f"this is of type {describe(given)}; {describe(wanted)} is needed"
            self._add("unfit_value" if by_form else "wrong_type", path, message)
        elif binding.shape is not None:
            self._check_parts(whole, wanted, binding, scope, path)

    def _check_parts(self, whole: Schema, wanted: Schema, binding: Binding, scope: Scope, path: PathSteps) -> None:
        """The members of a mapping or list that has expressions inside, as far as the schema says what they are."""
        for name, member in binding.members.items():
            part = schema_at(wanted, (name,))[0]
            if part is not None:
                step = name if binding.shape == "mapping" else int(name)
                self._check_argument(whole, part, member, scope, (*path, step))

    def type_of(self, binding: Binding, scope: Scope) -> Schema | None:
        """What is known of the value that a checked argument will have."""
        if binding.shape is not None:
            return {"type": "object" if binding.shape == "mapping" else "array"}
        if binding.source is None:
            return None
        try:
            if binding.kind == "expression":
                plain = parse_expression(binding.source).plain
                return self.schema_of(plain, scope) if plain else None
            parts = parse_template(binding.source).parts
        except ExpressionInvalid:
            return None
        if len(parts) > 1 or isinstance(parts[0], str):
            return {"type": "string"}
        return self.schema_of(parts[0].plain, scope) if parts[0].plain else None

    def _node_reference(self, reference: Reference, scope: Scope, path: PathSteps) -> bool:
        root = reference.root
        if not scope.nodes[root]:
            message = f"{root!r} cannot have ended before this node begins: it is the node itself, or comes later"
            self._add("not_upstream", path, message)
            return False
        if NODE_FIELDS.isdisjoint(reference.path[:1]):
            message = f"a node has `output`, `status`, `finish_reason` and `error`; write {root}.output"
            self._add("unknown_field", path, message)
            return False
        if reference.path[0] != "output":
            return self._path_exists(reference, _ENDING, reference.path, path)
        return self._path_exists(reference, scope.outputs.get(root), reference.path[1:], path)

    def _input(self, reference: Reference, steps: tuple[str, ...], scope: Scope, path: PathSteps) -> bool:
        self.inputs_used[steps[0]] = None
        schema = scope.inputs_schema
        properties = schema.get("properties") if schema else None
        if properties and steps[0] not in properties:
            names = [*scope.nodes, *properties]
            as_a_text = f"; {_as_a_text(str(reference))}" if reference.root == steps[0] else ""
            message = f"{steps[0]!r} is neither a node nor an input{as_a_text}{self._hint(steps[0], names)}"
            self._add("unknown_reference", path, message)
            return False
        return self._path_exists(reference, schema, steps, path)

    def _path_exists(
        self, reference: Reference, schema: Schema | None, steps: tuple[str, ...], path: PathSteps
    ) -> bool:
        missing = schema_at(schema, steps)[1]
        if missing is None:
            return True
        holder, _ = schema_at(schema, steps[:missing])
        message = f"{str(reference)!r}: a value of type {describe(holder)} has no {steps[missing]!r}"
        self._add("unknown_field", path, message)
        return False

    def _hint(self, word: str, known: Iterable[str]) -> str:
        """What may have been meant."""
        return did_you_mean(word, known, self._problems)

    def _add(self, code: str, path: PathSteps, message: str) -> None:
        self._problems.append(self._document.problem(code, path, message))


def type_by_form(binding: Binding) -> Schema | None:
    """What the form of an expression tells of its type."""
    if binding.source is None:
        return None
    source: str | None = binding.source
    if binding.kind == "template":
        source = _one_place(binding.source)
    types = types_by_form(source) if source is not None else None
    return {"type": sorted(types)} if types is not None else None


def _one_place(template: str) -> str | None:
    """The expression in `{{ }}` that a text consists of; None where it is a longer text."""
    try:
        parts = parse_template(template).parts
    except ExpressionInvalid:
        return None
    return parts[0].source if len(parts) == 1 and isinstance(parts[0], Expression) else None


def _shown(constant: Constant) -> str:
    text = json.dumps(constant.value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _as_a_text(source: str) -> str:
    return f"for a fixed text write it in quotes inside the quotes: {quoted(source)}"
