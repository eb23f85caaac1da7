"""Arguments that say their value themselves: evaluated when a document is compiled, so that faults are told then."""

from dataclasses import dataclass
from typing import Any

from runs.errors import ExpressionFailed, ExpressionInvalid, ExpressionTooCostly
from runs.expressions import Expression, parse_expression, parse_template
from runs.plan import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value that no run changes."""

    value: Any


def constant_of_expression(expression: Expression) -> Constant | None:
    """What the expression gives in every run; None when that depends on the run.

    Raises ExpressionFailed for one that has no value in any run.
    """
    if expression.references:
        return None
    try:
        return Constant(value=expression.evaluate({}))
    except ExpressionTooCostly:
        # Left to the run, which may spend more.
        return None


def constant_of(binding: Binding) -> Constant | None:
    """What the argument is in every run; None when that depends on the run, or is no value at all."""
    if binding.shape is not None:
        return _constant_of_parts(binding)
    if binding.source is None:
        return Constant(value=binding.value)
    try:
        if binding.kind == "expression":
            return constant_of_expression(parse_expression(binding.source))
        template = parse_template(binding.source)
        parts = [part for part in template.parts if isinstance(part, Expression)]
        if any(constant_of_expression(part) is None for part in parts):
            return None
        return Constant(value=template.evaluate({}))
    except (ExpressionInvalid, ExpressionFailed, ExpressionTooCostly):
        return None


def _constant_of_parts(binding: Binding) -> Constant | None:
    found = {name: constant_of(member) for name, member in binding.members.items()}
    values = {name: constant.value for name, constant in found.items() if constant is not None}
    if len(values) < len(found):
        return None
    return Constant(value=values if binding.shape == "mapping" else list(values.values()))
