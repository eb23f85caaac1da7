"""The documents of the suite: one for each kind of node, and for what goes wrong in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.chaos.chaos_stack import BUCKET
from bench.chaos.tool_server import SERVER
from runs.plan import COMPENSATION

PROMPT, TEMPLATE = "chaos_ask", "{{ content }}"
PROMPT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"content": {"type": "string"}},
    "required": ["content"],
}
TEXT_KEY = "letter.md"
TEXT = "\n\n".join(
    f"# Part {name}\n\nThe {name} part of the letter tells what became of the {name} plan, at some length and in order."
    for name in ("first", "second", "third", "fourth", "fifth")
)
_WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath")
#: Every call is to reach the vendor: it could not be counted otherwise.
_POLICY = {"cache": False}
#: As many attempts as there are unless a document says otherwise: deaths of workers take none of them.
_DEFAULTS = {"retry": {"initial": "200ms", "max": "2s"}}

Node = dict[str, Any]


def _llm(node_id: str, subject: str, *depends: str, fault: str = "", config: Node | None = None, **more: Any) -> Node:
    mark = f"!{fault}" if fault else ""
    content = f"'ask:' + inputs.tag + '/{node_id}{mark}; ' + {subject}"
    settings = {"prompt_ref": f"{PROMPT}@1", "inputs": {"content": content}, **(config or {})}
    return {"id": node_id, "type": "llm", "depends": list(depends), "config": settings, **more}


def _llm_map(node_id: str, over: str, *depends: str) -> Node:
    content = f"'ask:' + inputs.tag + '/{node_id}/' + string(index) + '; ' + item"
    body = {"type": "llm", "config": {"prompt_ref": f"{PROMPT}@1", "inputs": {"content": content}}}
    return {"id": node_id, "type": "map", "depends": list(depends), "config": {"over": over, "window": 3, "body": body}}


def _function(node_id: str, name: str, inputs: Node, *depends: str, **more: Any) -> Node:
    config = {"function_name": name, "inputs": inputs}
    return {"id": node_id, "type": "function", "depends": list(depends), "config": config, **more}


def _projection(node_id: str, inputs: Node, *depends: str, **more: Any) -> Node:
    return _function(node_id, "json_projection", inputs, *depends, **more)


def _tool(node_id: str, name: str, arguments: Node, *depends: str) -> Node:
    config = {"tool_name": name, "tool_args": arguments}
    return {"id": node_id, "type": "tool", "depends": list(depends), "config": config}


def _url(behaviour: str, rest: str) -> str:
    return f"http://{{{{ inputs.service }}}}/{behaviour}/{{{{ inputs.tag }}}}/{rest}"


def _request(node_id: str, method: str, *depends: str, behaviour: str = "plain") -> Node:
    arguments: Node = {"method": method, "url": _url(behaviour, node_id)}
    return _tool(node_id, "http.request", arguments if method == "GET" else {**arguments, "json": {}}, *depends)


def _booking(node_id: str, *depends: str) -> Node:
    """What must not be repeated, and is taken back by what must not be repeated either."""
    arguments = {"method": "POST", "url": _url("plain", f"{node_id}?{COMPENSATION}"), "json": {}}
    taking_back = {"type": "tool", "config": {"tool_name": "http.request", "tool_args": arguments}}
    return {**_request(node_id, "POST", *depends), "compensate": taking_back}


def _told(node_id: str) -> Node:
    """A node of `finally`."""
    arguments = {"method": "PUT", "url": _url("plain", node_id), "json": {}}
    return _tool(node_id, "http.request", arguments)


def _of_the_tool_server(node_id: str, tool: str, *depends: str) -> Node:
    return _tool(node_id, f"mcp:{SERVER}/{tool}", {"path": f"/plain/{{{{ inputs.tag }}}}/{node_id}"}, *depends)


def _map(node_id: str, over: str, value: str, **config: Any) -> Node:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"v": value}}}
    return {"id": node_id, "type": "map", "config": {"over": over, "body": body, **config}}


def _branch(after: str | None) -> Node:
    branch: Node = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"won": "true"}}}
    return branch if after is None else {**branch, "after": after}


def _document(
    name: str, nodes: Sequence[Node], outputs: Mapping[str, str], *, at_the_end: Sequence[Node] = ()
) -> dict[str, Any]:
    properties = {"tag": {"type": "string"}, "service": {"type": "string"}, "items": {"type": "array"}}
    inputs = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "name": f"chaos_{name}",
        "version": 1,
        "inputs": inputs,
        "policy": _POLICY,
        "defaults": _DEFAULTS,
        "nodes": list(nodes),
        "outputs": dict(outputs),
        **({"finally": list(at_the_end)} if at_the_end else {}),
    }


def _numbers(count: int) -> Node:
    """The tag's letters are of no consequence; a list of `count` numbers comes from a node of its own."""
    return _projection("numbers", {"list": str(list(range(count)))})


CHAIN = _document(
    "chain",
    [
        _projection("begin", {"words": "['amber', 'birch']"}),
        _llm("draft", "begin.output.words[0]", "begin"),
        _llm("final", "draft.output", "draft"),
        # What two nodes read of one step must be one result.
        _projection("left", {"draft": "draft.output", "final": "final.output"}, "final"),
        _projection("right", {"draft": "draft.output", "final": "final.output"}, "final"),
    ],
    {"left": "left.output", "right": "right.output"},
)
DOCUMENT = _document(
    "document",
    [
        {
            "id": "fetch",
            "type": "tool",
            "config": {"tool_name": "s3.fetch", "tool_args": {"bucket": BUCKET, "key": TEXT_KEY}},
        },
        _function("split", "text_splitter", {"text": "fetch.output", "max_characters": "150"}, "fetch"),
        _llm_map("analyze", "split.output.chunks", "split"),
        {
            "id": "merge",
            "type": "reduce",
            "depends": ["analyze"],
            "config": {
                "over": "analyze.output",
                "body": {
                    "type": "function",
                    "config": {"function_name": "result_merger", "inputs": {"results": "items"}},
                },
            },
        },
        _llm("summary", "merge.output.merged", "merge"),
    ],
    {"summary": "summary.output", "passages": "analyze.output", "count": "split.output.count"},
)
BATCH = _document(
    "batch",
    [
        _numbers(60),
        {**_map("each", "numbers.output.list", "60 / item", batch=7, tolerate={"count": 1}), "depends": ["numbers"]},
    ],
    {"each": "each.output"},
)
#: Each item a step of its own, which a re-run for the failed one takes over.
REDRIVEN = _document(
    "redrive",
    [
        _numbers(40),
        {**_map("each", "numbers.output.list", "60 / item", batch=1, tolerate={"count": 1}), "depends": ["numbers"]},
    ],
    {"each": "each.output"},
)
SHARDED = _document(
    "sharded",
    [
        _numbers(204),
        {**_map("each", "numbers.output.list", "item + 1", batch=1, window=40), "depends": ["numbers"]},
    ],
    {"each": "each.output"},
)
MISHAPS = _document(
    "mishaps",
    [
        _llm("refused", "'x'", fault="refused", on_error="continue"),
        _llm("limited", "'y'", fault="limited"),
        _llm("overloaded", "'z'", fault="overloaded"),
        _projection("broken", {"v": "1 / (size(inputs.tag) - size(inputs.tag))"}, on_error="continue"),
        _projection("instead", {"was": "refused.status"}, "refused", when="refused.status == 'failed'"),
        _projection(
            "after",
            {"refused": "instead.output.was", "broken": "broken.status", "all": "[limited.output, overloaded.output]"},
            *("instead", "broken", "limited", "overloaded"),
        ),
    ],
    {"after": "after.output"},
)
GATES = _document(
    "gates",
    [
        {"id": "pause", "type": "wait", "config": {"for": "200ms"}},
        _llm("letter", "'letter'", "pause"),
        {
            "id": "release",
            "type": "approval",
            "depends": ["letter"],
            "config": {
                "message": "Send the letter of {{ inputs.tag }}?",
                "show": {"letter": "letter.output"},
                "escalate": [{"after": "300ms", "approvers": ["development"]}],
            },
        },
        {"id": "paid", "type": "wait", "config": {"event": "paid {{ inputs.tag }}"}},
        _projection(
            "sent",
            {"approved": "release.output.approved", "by": "release.output.by", "paid": "paid.output"},
            *("release", "paid"),
        ),
    ],
    {"sent": "sent.output", "letter": "letter.output"},
)
FAN = _document(
    "fan",
    [
        *(_llm(word, f"'{word}'", config={"stream": word == "amber"}) for word in _WORDS[:5]),
        {
            "id": "code",
            "type": "code",
            "config": {
                "language": "javascript",
                "source": "let main = input => input.words.length",
                "inputs": {"words": "['a', 'b']"},
            },
        },
        _projection("all", {"n": "code.output", "list": f"[{', '.join(f'{w}.output' for w in _WORDS[:5])}]"}, "code"),
    ],
    {"all": "all.output"},
)
FAN["nodes"][-1]["depends"] += list(_WORDS[:5])
CANCEL = _document(
    "cancel",
    [_llm("opening", "'opening'"), {"id": "long", "type": "wait", "depends": ["opening"], "config": {"for": "1h"}}],
    {"opening": "opening.output"},
)

EFFECTS = _document(
    "effects",
    [
        _request("look", "GET"),
        _request("store", "PUT"),
        _request("pay", "POST"),
        _tool("keep", "records.put", {"collection": "chaos", "key": "{{ inputs.tag }}", "value": "kept"}),
        {
            "id": "order",
            "type": "map",
            "depends": ["look"],
            "config": {
                "over": "inputs.items",
                "window": 2,
                "body": {
                    "type": "tool",
                    "config": {
                        "tool_name": "http.request",
                        "tool_args": {"method": "POST", "url": _url("plain", "order/{{ index }}"), "json": {}},
                    },
                },
            },
        },
        _projection(
            "all",
            {
                "receipts": "[look.output.json, store.output.json, pay.output.json]",
                "orders": "order.output.map(each, each.json)",
                "version": "keep.output.version",
            },
            *("look", "store", "pay", "keep", "order"),
        ),
    ],
    {"all": "all.output"},
)
#: In doubt without any kill: a service that answers 500 may have done it, or not.
DOUBTS = _document(
    "doubts",
    [
        _request("mute", "POST", behaviour="mute"),
        _request("idle", "POST", behaviour="idle"),
        _projection("all", {"receipts": "[mute.output.json, idle.output.json]"}, "mute", "idle"),
    ],
    {"all": "all.output"},
)
#: What steps and runs are made of; both branches of the race give the same, whichever comes first under kills.
COMPOSITE = _document(
    "composite",
    [
        {
            "id": "count",
            "type": "loop",
            "config": {
                "body": {
                    "type": "function",
                    "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}},
                },
                "max_iterations": 5,
                "until": "last.n == 3",
            },
        },
        {
            "id": "first",
            "type": "race",
            "depends": ["count"],
            "config": {"branches": {name: _branch(after) for name, after in (("early", None), ("late", "2s"))}},
        },
        {
            "id": "below",
            "type": "workflow",
            "config": {
                "inputs": {"tag": "inputs.tag"},
                "nodes": [_llm("draft", "'below'"), _projection("done", {"draft": "draft.output"}, "draft")],
                "outputs": {"draft": "done.output.draft", "again": "draft.output"},
            },
        },
    ],
    {"count": "count.output", "first": "first.output", "below": "below.output"},
)
#: What was booked is taken back, since a later node fails; whatever happens, somebody is told.
COMPENSATED = _document(
    "compensated",
    [
        _booking("flight"),
        _booking("hotel", "flight"),
        _projection("broken", {"v": "1 / (size(inputs.tag) - size(inputs.tag))"}, "hotel"),
    ],
    {"flight": "flight.output.json"},
    at_the_end=[_told("tell")],
)
#: The same, since its user cancels it while it waits.
CANCELLED = _document(
    "cancelled",
    [
        _booking("flight"),
        _booking("hotel", "flight"),
        {"id": "long", "type": "wait", "depends": ["hotel"], "config": {"for": "1h"}},
    ],
    {"flight": "flight.output.json"},
    at_the_end=[_told("tell")],
)
#: See bench.chaos.counting_model for what its model asks for.
AGENT = _document(
    "agent",
    [
        {
            "id": "settle",
            "type": "agent",
            "config": {
                "prompt_ref": f"{PROMPT}@1",
                "inputs": {"content": "'ask:' + inputs.tag + '/settle; what is owed'"},
                "tools": ["http.request"],
                "max_iterations": 6,
            },
        },
        _projection("left", {"answer": "settle.output"}, "settle"),
        _projection("right", {"answer": "settle.output"}, "settle"),
    ],
    {"left": "left.output", "right": "right.output"},
)
TOOL_SERVER = _document(
    "tool_server",
    [
        _of_the_tool_server("look", "look"),
        _of_the_tool_server("pay", "pay", "look"),
        _projection("all", {"receipts": "[look.output.structured, pay.output.structured]"}, "look", "pay"),
    ],
    {"all": "all.output"},
)
