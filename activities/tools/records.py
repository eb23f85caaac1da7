"""`records.put` and `records.get`: small JSON values that outlive runs, written in the commit that records the step.

A put is performed exactly once, whatever dies: its row and the journal's row are one transaction.
"""

from collections.abc import Mapping
from typing import Any

from activities.errors import RequestRefused
from activities.tools.tool import Tool, ToolContext
from agentflow.digest import canonical_json
from runs.errors import RecordConflict
from runs.record_repository import RecordKey, RecordRepository
from runs.signatures import StepSignature

MAX_VALUE_BYTES = 256 * 1024
_PUT, _GET = "records.put", "records.get"
_NAME = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\x00-\\x1f\\x7f\\ud800-\\udfff]+$"}


async def _put(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    key, value = _key(context, arguments), arguments["value"]
    size_bytes = len(canonical_json(value))
    if size_bytes > MAX_VALUE_BYTES:
        reason = f"the value has {size_bytes:,} bytes; {MAX_VALUE_BYTES:,} are allowed: keep a digest or a path instead"
        raise RequestRefused(tool=_PUT, reason=reason)
    records = RecordRepository(context.session)
    expected = arguments.get("expected_version")
    if arguments.get("if_absent"):
        version = await records.add(key, value)
    elif expected is not None:
        version = await records.replace(key, value, expected_version=expected)
    else:
        version = await records.put(key, value)
    if version is None:
        wanted = "to be absent" if expected is None else f"in version {expected}"
        raise RecordConflict(collection=key.collection, key=key.key, expected=wanted)
    return {"version": version}


async def _get(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    record = await RecordRepository(context.session).get(_key(context, arguments))
    if record is None:
        return {"found": False, "value": None, "version": 0}
    return {"found": True, "value": record.value, "version": record.version}


def _key(context: ToolContext, arguments: Mapping[str, Any]) -> RecordKey:
    return RecordKey(org_id=context.org_id, collection=arguments["collection"], key=arguments["key"])


RECORDS_PUT = Tool(
    is_inside=True,
    signature=StepSignature(
        name=_PUT,
        description="Keeps a JSON value of the organisation, exactly once; gives its version.",
        input_schema={
            "type": "object",
            "properties": {
                "collection": _NAME,
                "key": _NAME,
                "value": {},
                "if_absent": {"type": "boolean", "description": "Fails when there is one."},
                "expected_version": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2**63 - 1,
                    "description": "Fails when it has another version, or is not there.",
                },
            },
            "required": ["collection", "key", "value"],
            "not": {"required": ["if_absent", "expected_version"]},
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"version": {"type": "integer"}},
            "required": ["version"],
            "additionalProperties": False,
        },
    ),
    call=_put,
    transactional=True,
)
RECORDS_GET = Tool(
    is_inside=True,
    signature=StepSignature(
        name=_GET,
        description="Reads a JSON value that records.put kept.",
        input_schema={
            "type": "object",
            "properties": {"collection": _NAME, "key": _NAME},
            "required": ["collection", "key"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"found": {"type": "boolean"}, "value": {}, "version": {"type": "integer"}},
            "required": ["found", "value", "version"],
            "additionalProperties": False,
        },
    ),
    call=_get,
    transactional=True,
)
