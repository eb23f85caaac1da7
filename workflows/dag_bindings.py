"""Arguments of nodes: texts become expressions, and each reference is held against what will be there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType
from referencing import Registry
from referencing.exceptions import Unresolvable

from runs.errors import ExpressionInvalid
from runs.expressions import Reference, is_template, parse_expression, parse_template
from runs.plan import Binding
from runs.signatures import StepSignature
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.dag_graph import did_you_mean
from workflows.errors import SpecProblem
from workflows.schema_types import Schema, can_hold, describe, schema_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that an expression may use, and what is known of their values."""

    #: Every node of the document; the value is False for one that is not upstream.
    nodes: Mapping[str, bool]
    outputs: Mapping[str, Schema | None]
    inputs_schema: Schema | None
    #: `item`, `index`, `items` where they are in scope.
    local: Mapping[str, Schema | None]


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
            hint = "; for a fixed text write it in quotes inside the quotes: \"'text'\""
            self._add("invalid_expression", path, f"{error}{hint}")
            return ()
        return tuple(ref for ref in parsed.references if self.reference(ref, scope, path))

    def template(self, source: str, scope: Scope, path: PathSteps) -> None:
        """Checks the expressions inside `{{ }}`."""
        try:
            parsed = parse_template(source)
        except ExpressionInvalid as error:
            self._add("invalid_expression", path, str(error))
            return
        for reference in parsed.references:
            self.reference(reference, scope, path)

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
        if reference.path and reference.path[0] in {"output", "status"}:
            self._add("unknown_node", path, f"there is no node {root!r}{self._hint(root, scope.nodes)}")
            return False
        return self._input(reference, (root, *reference.path), scope, path)

    def schema_of(self, reference: Reference, scope: Scope) -> Schema | None:
        """What is known of the value that a checked reference will have."""
        if reference.root in scope.local:
            return schema_at(scope.local[reference.root], reference.path)[0]
        if reference.root in scope.nodes:
            if reference.path[:1] == ("status",):
                return {"type": "string"}
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
        schema = signature.input_schema
        if schema is None:
            return
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

    def _check_argument(self, whole: Schema, wanted: Schema, binding: Binding, scope: Scope, path: PathSteps) -> None:
        if binding.kind == "literal" and binding.shape is None:
            for message in _faults(binding.value, wanted, whole):
                self._add("wrong_type", path, message)
            return
        given = self.type_of(binding, scope)
        if given is not None and not can_hold(given, wanted):
            message = f"this is of type {describe(given)}; {describe(wanted)} is needed"
            self._add("wrong_type", path, message)

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
            message = f"{root!r} is not upstream of this node; add an edge from it, or `depends: [{root}]`"
            self._add("not_upstream", path, message)
            return False
        if reference.path[:1] == ("status",):
            return True
        if reference.path[:1] != ("output",):
            self._add("unknown_field", path, f"a node has `output` and `status`; write {root}.output")
            return False
        return self._path_exists(reference, scope.outputs.get(root), reference.path[1:], path)

    def _input(self, reference: Reference, steps: tuple[str, ...], scope: Scope, path: PathSteps) -> bool:
        self.inputs_used[steps[0]] = None
        schema = scope.inputs_schema
        properties = schema.get("properties") if schema else None
        if properties and steps[0] not in properties:
            names = [*scope.nodes, *properties]
            message = f"{steps[0]!r} is neither a node nor an input{self._hint(steps[0], names)}"
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


def _faults(value: Any, wanted: Schema, whole: Schema) -> list[str]:
    """What is wrong with a value; `wanted` is a part of the schema `whole`, where its references lead."""
    # An explicit registry, which is empty, keeps jsonschema from fetching what a `$ref` names.
    validator = Draft202012Validator(whole, registry=Registry())
    try:
        return [error.message[:200] for error in islice(validator.descend(value, wanted), MAX_PROBLEMS)]
    except (RecursionError, ArithmeticError, ValueError, Unresolvable, UnknownType, re.error):
        # Not certain, so it passes here, and is held against the schema again when it runs.
        return []
