"""Whether what a document gives as JSON Schema is one that can be used."""

from typing import Any

from agentflow.json_schema.checks import SchemaUnusable
from agentflow.json_schema.schema import JsonSchema
from agentflow.meter import OverLimit
from scl.schema_defaults import defaults_in, with_defaults
from scl.schema_validation import schema_problems, told
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.errors import SpecProblem
from workflows.schema_types import Schema


def usable_schema(
    schema: Schema | None, path: PathSteps, document: Document, problems: list[SpecProblem]
) -> Schema | None:
    """The document's schema at `path`; None, which is unknown, when there is none or it is wrong."""
    if schema is None:
        return None
    faults = schema_problems(schema, limit=MAX_PROBLEMS)
    problems.extend(
        document.problem("invalid_schema", (*path, *place), f"this schema cannot be used: {message}")
        for place, message in faults
    )
    return None if faults else schema


def check_defaults(schema: Schema, path: PathSteps, document: Document, problems: list[SpecProblem]) -> None:
    """Tells each default of a schema that does not fit the part that it is of."""
    problems.extend(
        document.problem("invalid_default", (*path, *place, "default"), message)
        for place, part in defaults_in(schema)
        for message in value_faults(with_defaults(part["default"], part), part, schema)
    )


def value_faults(value: Any, wanted: Any, whole: Schema) -> list[str]:
    """What is wrong with a value; `wanted` is a part of the schema `whole`, where its references lead."""
    try:
        faults = JsonSchema(whole, part=wanted).faults(value, limit=MAX_PROBLEMS)
    except (SchemaUnusable, OverLimit, RecursionError):
        # Not certain, so it passes here, and is held against the schema again when it runs.
        return []
    return [problem.removeprefix("$: ") for problem in told(faults)]
