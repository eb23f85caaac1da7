"""`result_merger`: many results as one: texts are joined, lists are strung together, mappings are laid over."""

from collections.abc import Mapping
from typing import Any

from activities.errors import FunctionFailed
from activities.functions.function import Function
from runs.signatures import StepSignature

_NAME = "result_merger"


def merge_results(results: list[Any], *, separator: str) -> Any:
    """The merged results; nulls (of skipped nodes) are left out. Raises FunctionFailed for a mixture of types."""
    present = [result for result in results if result is not None]
    if all(isinstance(result, str) for result in present):
        return separator.join(present)
    if all(isinstance(result, list) for result in present):
        return [item for result in present for item in result]
    if all(isinstance(result, dict) for result in present):
        return {key: value for result in present for key, value in result.items()}
    raise FunctionFailed(function=_NAME, reason="the results are neither all texts, nor all lists, nor all mappings")


def _call(arguments: Mapping[str, Any]) -> Any:
    results = arguments["results"]
    merged = merge_results(results, separator=str(arguments.get("separator", "\n\n")))
    return {"merged": merged, "count": sum(result is not None for result in results)}


def _as_item(output: Mapping[str, Any]) -> Any:
    # Of nulls alone there is nothing, whatever the others are.
    return output["merged"] if output["count"] else None


def _of_level(output: Mapping[str, Any], below: list[Any]) -> Any:
    return {**output, "count": sum(part["count"] for part in below)}


RESULT_MERGER = Function(
    signature=StepSignature(
        name=_NAME,
        description="Joins texts, strings lists together, or lays mappings over one another.",
        input_schema={
            "type": "object",
            "properties": {"results": {"type": "array"}, "separator": {"type": "string"}},
            "required": ["results"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"merged": {}, "count": {"type": "integer"}},
            "required": ["merged", "count"],
            "additionalProperties": False,
        },
    ),
    call=_call,
    as_item=_as_item,
    of_level=_of_level,
)
