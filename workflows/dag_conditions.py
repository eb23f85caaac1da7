"""What scheduling itself evaluates: conditions, and the sizes of lists; each names the facts that it needs."""

from dataclasses import replace

from runs.errors import ExpressionFailed, ExpressionInvalid, ExpressionTooCostly
from runs.expressions import Reference, parse_expression
from runs.plan import Fact
from workflows.constant_values import constant_of_expression
from workflows.dag_bindings import BindingReader, Scope
from workflows.dag_document import Document, PathSteps
from workflows.errors import SpecProblem
from workflows.expression_types import never_true, types_by_form
from workflows.node_configs import RetrySpec
from workflows.schema_types import Schema, describe, json_type, types_of

INTEGER: Schema = {"type": "integer"}
#: What an error is to `retry.when`.
_ERROR: Schema = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "retryable": {"type": "boolean"}},
    "additionalProperties": False,
}


class ConditionReader:
    """Reads the expressions that scheduling evaluates, and gathers the facts that they need."""

    def __init__(self, document: Document, reader: BindingReader, problems: list[SpecProblem]) -> None:
        self._document, self._reader, self._problems = document, reader, problems
        #: Root (`inputs` or a node) → facts that scheduling needs of it.
        self._facts: dict[str, dict[Fact, None]] = {"inputs": {}}

    def facts_of(self, root: str) -> tuple[Fact, ...]:
        """The facts that scheduling needs of the inputs, or of a node."""
        return tuple(sorted(self._facts.get(root, {}), key=lambda fact: fact.key))

    def over(self, source: str, scope: Scope, path: PathSteps) -> tuple[Reference | None, Schema | None]:
        """The list that a map or reduce goes over: a plain path, because its size must be a fact."""
        known_problems = len(self._problems)
        self._reader.expression(source, scope, path)
        if any(problem.breaks_the_plan for problem in self._problems[known_problems:]):
            return None, None
        plain = parse_expression(source).plain
        is_status = plain is not None and plain.root in scope.nodes and plain.path[:1] != ("output",)
        if plain is None or is_status or plain.root in scope.local or any(step.isdigit() for step in plain.path):
            self._add("invalid_expression", path, "name a list by its path, such as split.output.chunks")
            return None, None
        schema = self._reader.schema_of(plain, scope)
        types = types_of(schema)
        if types is not None and "array" not in types:
            self._add("wrong_type", path, f"{source!r} is of type {describe(schema)}; a list is needed")
        over = _as_fact_root(plain, scope)
        self._need(over.root, Fact(path=over.path, kind="size"))
        return over, schema

    def condition(self, source: str, scope: Scope, path: PathSteps) -> None:
        """A condition over outcomes, outputs and inputs."""
        references = self._reader.expression(source, scope, path)
        self._check_is_boolean(source, scope, path)
        for reference in references:
            if reference.root in scope.local:
                continue
            if reference.root in scope.nodes and reference.path[:1] != ("output",):
                continue
            target = _as_fact_root(reference, scope)
            self._need(target.root, Fact(path=_up_to_an_index(target.path), kind="value"))

    def until(self, source: str, scope: Scope, path: PathSteps, *, node_id: str, output: Schema | None) -> None:
        """The condition that ends a loop, which sees what the last time round gave."""
        inside = replace(scope, local={**scope.local, "iteration": INTEGER, "last": output})
        self.condition(source, inside, path)
        try:
            references = parse_expression(source).references
        except ExpressionInvalid:
            return
        for reference in references:
            if reference.root == "last":
                self._need(node_id, Fact(path=_up_to_an_index(reference.path), kind="value"))

    def retry(self, spec: RetrySpec | None, path: PathSteps) -> None:
        """Which errors are worth another attempt; sees nothing of the run."""
        if spec is None or spec.when is None:
            return
        local: dict[str, Schema | None] = {"error": _ERROR, "attempt": INTEGER}
        path = (*path, "retry", "when")
        try:
            stranger = next((ref for ref in parse_expression(spec.when).references if ref.root not in local), None)
        except ExpressionInvalid as error:
            self._add("invalid_expression", path, str(error))
            return
        if stranger is not None:
            message = f"{str(stranger)!r} is not known here; there is error.code, error.retryable and attempt"
            self._add("unknown_reference", path, message)
            return
        scope = Scope(nodes={}, outputs={}, inputs_schema=None, local=local)
        self._reader.expression(spec.when, scope, path)
        self._check_is_boolean(spec.when, scope, path)

    def _check_is_boolean(self, source: str, scope: Scope, path: PathSteps) -> None:
        """Tells a condition that is neither true nor false in any run."""
        types = condition_types(source, self._reader, scope)
        if types is not None and "boolean" not in types:
            self._add("never_a_condition", path, never_true(source, types))

    def _need(self, root: str, fact: Fact) -> None:
        self._facts.setdefault(root, {})[fact] = None

    def _add(self, code: str, path: PathSteps, message: str) -> None:
        self._problems.append(self._document.problem(code, path, message))


def condition_types(source: str, reader: BindingReader, scope: Scope) -> frozenset[str] | None:
    """The types that a condition can give; None where nothing is known of them."""
    try:
        parsed = parse_expression(source)
        constant = constant_of_expression(parsed)
    except (ExpressionInvalid, ExpressionFailed, ExpressionTooCostly):
        return None
    if constant is not None:
        return frozenset({json_type(constant.value)})
    if parsed.plain is not None:
        return types_of(reader.schema_of(parsed.plain, scope))
    return types_by_form(parsed.source)


def _up_to_an_index(path: tuple[str, ...]) -> tuple[str, ...]:
    """A list is one fact: the path ends where it is counted into."""
    upto = next((at for at, step in enumerate(path) if step.isdigit()), len(path))
    return path[:upto]


def _as_fact_root(reference: Reference, scope: Scope) -> Reference:
    """`node.output.a` as node + (a), `inputs.a` and a bare `a` as inputs + (a)."""
    if reference.root in scope.nodes:
        return Reference(root=reference.root, path=reference.path[1:])
    path = reference.path if reference.root == "inputs" else (reference.root, *reference.path)
    return Reference(root="inputs", path=path)
