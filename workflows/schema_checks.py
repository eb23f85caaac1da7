"""Whether what a document gives as JSON Schema is one that can be used."""

from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from agentflow.json_schema.checks import SchemaUnusable
from agentflow.json_schema.schema import JsonSchema, refused_patterns
from agentflow.meter import OverLimit
from scl.errors import InvalidSchema
from scl.schema_defaults import defaults_in, with_defaults
from scl.schema_validation import check_references, told
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.errors import SpecProblem
from workflows.schema_types import Schema

_METASCHEMA = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def usable_schema(
    schema: Schema | None, path: PathSteps, document: Document, problems: list[SpecProblem]
) -> Schema | None:
    """The document's schema at `path`; None, which is unknown, when there is none or it is wrong."""
    if schema is None:
        return None
    faults = _faults(schema)
    problems.extend(document.problem("invalid_schema", (*path, *place), message) for place, message in faults)
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


def _faults(schema: Schema) -> list[tuple[PathSteps, str]]:
    """Where a schema is wrong, and how."""
    try:
        faults = [
            (tuple(fault.absolute_path), f"this is not JSON Schema: {fault.message[:200]}")
            for fault in islice(_METASCHEMA.iter_errors(schema), MAX_PROBLEMS)
        ]
        if not faults:
            faults = [(place, reason) for place, reason in islice(refused_patterns(schema), MAX_PROBLEMS)]
        if not faults:
            check_references(schema)
    except InvalidSchema as error:
        return [((), f"this schema cannot be used: {problem}") for problem in error.problems]
    except (ArithmeticError, ValueError, RecursionError) as error:
        # Patterns and URLs that the standard library's readers stumble over.
        return [((), f"this schema cannot be used: {str(error)[:200]}")]
    # Several vocabularies of the metaschema find the same fault.
    return list(dict.fromkeys(faults))
