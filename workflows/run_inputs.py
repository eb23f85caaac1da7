"""A run's inputs: held against the workflow's schema, and changed at a path for a run that repeats another."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.blobs import digests_in
from agentflow.digest import canonical_json, sha256_hex
from runs.errors import RerunInvalid
from scl.errors import SchemaViolation
from scl.schema_defaults import defaults_in, with_defaults
from scl.schema_validation import validate
from workflows.errors import InputsInvalid

#: What a path may nest, besides what its value does.
MAX_PATH_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInputs:
    """A run's inputs as they are stored."""

    digest: str
    content: bytes
    #: Digests of other content that stand in them.
    named: tuple[str, ...]


def stored_inputs(inputs: Mapping[str, Any]) -> StoredInputs:
    """The form in which inputs are stored; raises InputsInvalid for what cannot be."""
    try:
        content = canonical_json(dict(inputs))
    except ValueError as error:
        raise InputsInvalid([f"$: {error}"]) from error
    return StoredInputs(digest=sha256_hex(content), content=content, named=tuple(sorted(set(digests_in(inputs)))))


def accepted_inputs(inputs: Mapping[str, Any], schema: bytes | None) -> StoredInputs:
    """A run's inputs with the defaults of a plan's schema, which is JSON, for what is left out.

    Raises InputsInvalid with everything that the schema refuses. It may take seconds of processor time.
    """
    given = stored_inputs(inputs)
    if schema is None:
        return given
    read = json.loads(schema)
    filled = _filled(inputs, read)
    try:
        validate(filled, read, where="inputs")
    except SchemaViolation as error:
        raise InputsInvalid(error.problems) from error
    return stored_inputs(filled)


def filled_digest(inputs: Mapping[str, Any], schema: bytes | None) -> str | None:
    """The digest of inputs with the schema's defaults; None for what cannot be stored. Raises InvalidSchema."""
    try:
        return stored_inputs(_filled(inputs, json.loads(schema)) if schema is not None else inputs).digest
    except InputsInvalid:
        return None


def _filled(inputs: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    if next(defaults_in(schema), None) is None:
        return dict(inputs)
    filled: dict[str, Any] = with_defaults(dict(inputs), schema)
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
