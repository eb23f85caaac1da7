"""Parts of a document as models of their form, and what keeps them from being that, in words for people."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.errors import SpecProblem


def read_form(
    model: type[BaseModel],
    data: Any,
    path: PathSteps,
    document: Document,
    problems: list[SpecProblem],
    *,
    below_dag: frozenset[str] = frozenset(),
) -> Any:
    """`data` as a `model`; None, and what is wrong added to `problems`, when it has not that form."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False)[: MAX_PROBLEMS + 1]:
            location = details["loc"]
            if location and location[0] in below_dag:
                location = ("dag", *location)
            problems.append(document.problem(_code(details), (*path, *location), _message(details, model)))
        return None


def _code(details: ErrorDetails) -> str:
    return {"missing": "missing", "extra_forbidden": "unknown_field"}.get(details["type"], "wrong_type")


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "missing":
        return f"`{details['loc'][-1]}` is missing; add it"
    if details["type"] == "extra_forbidden":
        fields = _model_at(model, details["loc"][:-1]).model_fields
        known = ", ".join(sorted(info.alias or name for name, info in fields.items()))
        return f"{details['loc'][-1]!r} is not a field here; the fields are {known}"
    given = details["input"]
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) and len(str(given)) <= 80 else ""
    message = details["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}{shown}"


def _model_at(model: type[BaseModel], path: PathSteps) -> type[BaseModel]:
    """The model of the part at `path` below `model`, as far as models go."""
    for step in path:
        if isinstance(step, int):
            continue
        model = next(_models_in(model.model_fields[step].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, inside `Annotated`, unions and lists too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
