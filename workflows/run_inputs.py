"""A run's inputs: held against the workflow's schema, and changed at a path for a run that repeats another."""

import copy
from collections.abc import Mapping
from typing import Any

from agentflow.digest import canonical_json
from runs.errors import RerunInvalid
from runs.plan import Plan
from scl.errors import SchemaViolation
from scl.schema_defaults import defaults_in, with_defaults
from scl.schema_validation import validate
from workflows.errors import InputsInvalid

#: What a path may nest, besides what its value does.
MAX_PATH_STEPS = 32


def inputs_json(inputs: Mapping[str, Any]) -> bytes:
    """A run's inputs as they are stored; raises InputsInvalid for what cannot be."""
    try:
        return canonical_json(dict(inputs))
    except ValueError as error:
        raise InputsInvalid([f"$: {error}"]) from error


def accepted_inputs(plan: Plan, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A run's inputs with the defaults of the plan's schema for what is left out.

    Raises InputsInvalid with everything that the schema refuses. It may take seconds of processor time.
    """
    inputs_json(inputs)
    filled = filled_inputs(plan, inputs)
    if plan.inputs_schema is None:
        return filled
    try:
        validate(filled, plan.inputs_schema, where="inputs")
    except SchemaViolation as error:
        raise InputsInvalid(error.problems) from error
    return filled


def filled_inputs(plan: Plan, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with the defaults of the plan's schema for what is left out; raises InvalidSchema."""
    if plan.inputs_schema is None or next(defaults_in(plan.inputs_schema), None) is None:
        return dict(inputs)
    filled: dict[str, Any] = with_defaults(dict(inputs), plan.inputs_schema)
    return filled


def with_changes(inputs: Mapping[str, Any], changes: Mapping[str, Any], *, run_id: str) -> dict[str, Any]:
    """The inputs with other values at some paths (`document_key`, `inputs.options.depth`).

    Objects on the way are made where they are missing; raises RerunInvalid where something else stands there.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(inputs))
    for path, value in changes.items():
        steps = path.removeprefix("inputs.").split(".")
        if not all(steps) or len(steps) > MAX_PATH_STEPS:
            raise RerunInvalid(
                run_id=run_id,
                reason=f"{path[:80]!r} is no path of an input: names with dots between, {MAX_PATH_STEPS} at most",
            )
        place: Any = changed
        for step in steps[:-1]:
            place = place.setdefault(step, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise RerunInvalid(run_id=run_id, reason=f"input {path!r} would stand inside something that is no object")
        place[steps[-1]] = value
    return changed
