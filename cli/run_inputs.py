"""What a workflow needs to be run, from the schema of its inputs: a table, and a command that can be filled in."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.output import table

_EXAMPLES: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "null": None}
_TEXT = "…"


def inputs_text(schema: Mapping[str, Any] | None) -> str | None:
    """A table of the inputs, with what stands for those that are left out; None where there are none."""
    if schema is None:
        return None
    if not _properties(schema):
        return _undeclared(schema)
    required = schema.get("required", [])
    rows = [(name, _type_of(part), _need(part, is_required=name in required)) for name, part in _inputs(schema)]
    return table(("INPUT", "TYPE", "LEFT OUT"), rows)


def submit_command(source: Sequence[str], schema: Mapping[str, Any] | None) -> str:
    """The command that runs a workflow, with a skeleton of the inputs that must be given.

    `source` says which: a name with its version, or a file.
    """
    given = skeleton(schema or {})
    inputs = f" --inputs {shlex.quote(json.dumps(given, ensure_ascii=False))}" if given else ""
    return f"agentctl workflow submit {shlex.join(source)}{inputs} --wait"


def skeleton(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that must be given, each with a value of its type to be replaced."""
    parts = dict(_inputs(schema))
    return {
        name: _example(parts.get(name, {}))
        for name in schema.get("required", [])
        if "default" not in _mapping(parts.get(name))
    }


def _undeclared(schema: Mapping[str, Any]) -> str | None:
    names = schema.get("required", [])
    if not names:
        return None
    return (
        f"Needs the inputs {', '.join(names)}: the document declares none, so each name that it uses is one. "
        f"A fixed text stands in quotes inside the quotes: \"'{names[0]}'\""
    )


def _example(part: Any) -> Any:
    schema = _mapping(part)
    if "const" in schema:
        return schema["const"]
    for keyword in ("examples", "enum"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return schema[keyword][0]
    kind = _first_type(schema)
    if kind == "object":
        return skeleton(schema)
    return _EXAMPLES.get(kind, _TEXT)


def _need(part: Any, *, is_required: bool) -> str:
    schema = _mapping(part)
    if "default" in schema:
        return json.dumps(schema["default"], ensure_ascii=False)
    return "refused" if is_required else "missing"


def _type_of(part: Any) -> str:
    kind = _mapping(part).get("type", "any")
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _first_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if _properties(schema) else "string")
    return str(kind[0] if isinstance(kind, list) and kind else kind)


def _inputs(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    properties = _properties(schema)
    yield from properties.items()
    yield from ((name, {}) for name in schema.get("required", []) if name not in properties)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(schema.get("properties"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
