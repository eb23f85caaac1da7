"""`python odd_server.py [END]`: a server without the SDK, whose tools and answers break the protocol in every way.

With END it ends at its start: it writes END and its secret to standard error, a line each, and is gone.
"""

import base64
import json
import os
import sys
from typing import Any

ANY: dict[str, Any] = {"type": "object"}
NUMBER: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

#: Name → what the tool's entry in the listing has besides its name.
TOOLS: dict[str, dict[str, Any]] = {
    "sound": {"inputSchema": ANY},
    "without_type": {"inputSchema": {"anyOf": [{"type": "object"}]}},
    "list_as_schema": {"inputSchema": []},
    "no_schema": {},
    "number_as_description": {"inputSchema": ANY, "description": 7},
    "foreign_reference": {"inputSchema": {**ANY, "properties": {"a": {"$ref": "https://schemas.invalid/a.json"}}}},
    "draft_4": {"inputSchema": {**ANY, "properties": {"a": {"minimum": 0, "exclusiveMinimum": True}}}},
    "deep": {"inputSchema": {**ANY, "properties": {"a": {"enum": [json.loads("[" * 400 + "]" * 400)]}}}},
    "huge": {"inputSchema": {**ANY, "description": "x" * 70_000}},
    "odd_output_schema": {"inputSchema": ANY, "outputSchema": {"type": "array"}},
    "foreign_output_reference": {"inputSchema": ANY, "outputSchema": {**ANY, "properties": {"a": {"$ref": "#/no"}}}},
    "no_description": {"inputSchema": ANY, "description": ""},
    "ümläut/with.slash": {"inputSchema": ANY},
    "x" * 300: {"inputSchema": ANY},
    **{name: {"inputSchema": ANY, "outputSchema": NUMBER} for name in ("missing", "wrong", "null", "list", "good")},
}
NAMELESS = [{"inputSchema": ANY}, {"name": "", "inputSchema": ANY}, {"name": 7, "inputSchema": ANY}, "no tool", None]


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


#: Tool → the result of a call, whatever its arguments.
RESULTS: dict[str, Any] = {
    "missing": text("booked 7"),
    "wrong": {**text('{"n": "one"}'), "structuredContent": {"n": "one"}},
    "null": {**text("booked 7"), "structuredContent": None},
    "list": {"content": [], "structuredContent": [1, 2]},
    "scalar": {**text("7"), "structuredContent": 7},
    "good": {**text('{"n":1}'), "structuredContent": {"n": 1}},
    "empty": {"content": []},
    "nothing": {},
    "bare_text": {"content": "just words"},
    "text_in_list": {"content": ["just words"]},
    "unknown_block": {"content": [{"type": "hologram", "data": 1}]},
    "half_block": {"content": [{"type": "text"}]},
    "image": {"content": [{"type": "image", "data": base64.b64encode(b"PNG").decode(), "mimeType": "image/png"}]},
    "odd_error": {**text("no seat"), "isError": "yes"},
    "said_error": {**text("no seat"), "isError": True},
    "odd_extras": {**text("kept"), "_meta": 7, "resultType": 9},
    "result_is_list": ["kept"],
    "result_is_text": "kept",
    "large": text("x" * 2_000_000),
}
#: Tool → the code of a JSON-RPC error.
ERRORS = {"rpc_internal": -32603, "rpc_like_closed": -32000, "rpc_like_timeout": -32001, "rpc_own": 17}


def answered(message: dict[str, Any]) -> dict[str, Any]:
    """What follows on a request."""
    method, given = message["method"], message.get("params") or {}
    if method == "initialize":
        server = {"name": "odd", "version": "1"}
        return {
            "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server},
        }
    if method == "tools/list":
        tools = [{"name": name, **more} for name, more in TOOLS.items()]
        return {"result": {"tools": [*tools, *NAMELESS], "nextCursor": None}}
    if method == "tools/call" and given["name"] in ERRORS:
        return {"error": {"code": ERRORS[given["name"]], "message": "out of order"}}
    if method == "tools/call":
        return {"result": RESULTS.get(given["name"], text("done"))}
    return {"error": {"code": -32601, "message": "no such method"}}


def main() -> None:
    if sys.argv[1:]:
        sys.stderr.write(f"Traceback\n\x1b[31m{sys.argv[1]}\nkey {os.environ.get('ODD_SECRET')}\n")
        sys.exit(3)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answered(message)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
