"""Code nodes on a real Temporal server: in the sandbox, kept by the digest of their request."""

import base64
from typing import Any

import wasmtime

from runs.models import RunState
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded


def code(node_id: str, language: str, text: str, inputs: dict[str, Any], **more: Any) -> Node:
    config = {"language": language, "inputs": inputs, **more.pop("config", {})}
    config["module" if language == "wasm" else "source"] = text
    return {"id": node_id, "type": "code", "config": config, **more}


async def hits(platform: Platform, org_id: str) -> list[bool]:
    rows = await platform.rows(
        "SELECT usage -> 'cache_hit' AS hit FROM steps WHERE org_id = :o AND kind = 'code' ORDER BY started_at",
        o=org_id,
    )
    return [row["hit"] for row in rows]


async def test_python_and_javascript_work_on_the_outputs_of_other_nodes(platform: Platform, org_id: str) -> None:
    python = "def main(input):\n    return {'words': len(input['text'].split())}"
    javascript = "function main(input) { return {double: input.words * 2} }"
    document = dag(
        "languages",
        projection("source", {"text": "inputs.text"}),
        code("count", "python", python, {"text": "source.output.text"}, depends=["source"]),
        code("double", "javascript", javascript, {"words": "count.output.words"}, depends=["count"]),
        outputs={"double": "double.output.double"},
    )

    view = succeeded(await platform.run(org_id, document, {"text": "one two three"}))

    assert {"double": 6} == view.outputs


async def test_a_module_answers_on_standard_output(platform: Platform, org_id: str) -> None:
    wat = """(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "[1,2]")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 5))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
    module = base64.b64encode(bytes(wasmtime.wat2wasm(wat))).decode()
    document = dag("module", code("only", "wasm", module, {}), outputs={"answer": "only.output"})

    assert {"answer": [1, 2]} == succeeded(await platform.run(org_id, document)).outputs


async def test_the_same_request_is_computed_once(platform: Platform, org_id: str) -> None:
    source = "function main(input) { return [input.n, Math.random()] }"
    document = dag("kept", code("only", "javascript", source, {"n": "inputs.n"}), outputs={"answer": "only.output"})

    first = succeeded(await platform.run(org_id, document, {"n": 1}))
    again = succeeded(await platform.run(org_id, document, {"n": 1}))
    other = succeeded(await platform.run(org_id, document, {"n": 2}))

    assert first.outputs == again.outputs != other.outputs
    assert [False, True, False] == await hits(platform, org_id)


async def test_code_runs_for_each_item_of_a_map(platform: Platform, org_id: str) -> None:
    body = {
        "type": "code",
        "config": {"language": "javascript", "source": "let main = i => i.n * i.n", "inputs": {"n": "item"}},
    }
    each = {"id": "each", "type": "map", "config": {"over": "inputs.numbers", "body": body}}

    view = succeeded(
        await platform.run(org_id, dag("mapped", each, outputs={"n": "each.output"}), {"numbers": [1, 2, 3, 4]})
    )

    assert {"n": [1, 4, 9, 16]} == view.outputs


async def test_code_that_fails_says_how_and_keeps_what_it_wrote_out_of_history(platform: Platform, org_id: str) -> None:
    source = "def main(input):\n    raise ValueError('the secret is ' + input['text'])"
    document = dag("raising", code("only", "python", source, {"text": "inputs.text"}))

    view = await platform.run(org_id, document, {"text": "hunter2"})

    assert (RunState.FAILED, "code.raised", "only") == (
        view.run.state,
        view.run.error_code,
        view.run.failed_node,
    )
    assert "ValueError" in str(view.run.error_message)
    assert "the secret is hunter2" in str(view.nodes[0].error_message)
    history = await platform.temporal.get_workflow_handle(view.run.run_id).fetch_history()
    assert not any(b"hunter2" in event.SerializeToString() for event in history.events)


async def test_an_output_that_breaks_the_nodes_schema_fails_it(platform: Platform, org_id: str) -> None:
    only = code("only", "javascript", "let main = () => 'text'", {}, config={"output_schema": {"type": "integer"}})

    view = await platform.run(org_id, dag("schema", only))

    assert (RunState.FAILED, "scl.schema_violation") == (view.run.state, view.run.error_code)


async def test_an_endless_loop_ends_and_the_worker_goes_on(platform: Platform, org_id: str) -> None:
    loop = code("loop", "javascript", "function main() { for (;;); }", {}, config={"limits": {"fuel": 50_000_000}})

    view = await platform.run(org_id, dag("endless", loop))

    assert "code.out_of_fuel" == view.run.error_code
    document = dag("after", code("only", "javascript", "let main = () => 1", {}), outputs={"one": "only.output"})
    assert {"one": 1} == succeeded(await platform.run(org_id, document)).outputs
