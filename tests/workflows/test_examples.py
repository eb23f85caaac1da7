"""Every example that needs no vendor runs as it is shipped; document_analysis is run by the demo's own test."""

from pathlib import Path
from typing import Any

import pytest

from promptops.prompt_file import parse_prompt_file
from runs.errors import GateNotFound
from tests.scripted_provider import Answer, ScriptedToolCall
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_gates import decide, gates, opened

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN_HERE = {
    "large_map", "code", "approval", "wait", "loop", "race", "reduce", "sub_workflow", "compensation", "agent"
}  # fmt: skip


async def submitted(platform: Platform, org_id: str, name: str, inputs: dict[str, Any]) -> str:
    text = (EXAMPLES / name / "workflow.yaml").read_text(encoding="utf-8")
    registered = await platform.service.register(org_id=org_id, text=text)
    assert name == registered.spec.name
    return await platform.submit(org_id, name, inputs)


def test_every_example_is_run_somewhere() -> None:
    assert RUN_HERE | {"document_analysis"} == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        (
            "large_map",
            {"numbers": [4, 0, 5]},
            {"inverted": [{"number": 4, "share": 250}, None, {"number": 5, "share": 200}], "items": 3},
        ),
        ("code", {"text": "to be or not to be"}, {"phrase": "to ×2, be ×2, or ×1"}),
        ("loop", {"number": 4}, {"root": pytest.approx(2.0), "rounds": 4}),
        ("race", {"number": 97}, {"answer": {"prime": True, "by": "exact"}}),
        ("reduce", {"words": list("abcdef")}, {"merged": "((a b c d) (e f))"}),
        (
            "sub_workflow",
            {"texts": ["one two", "three"]},
            {"texts": [{"text": "one two", "parts": 1}, {"text": "three", "parts": 1}]},
        ),
        ("compensation", {"sold_out": False}, {"car": "a small car", "told": "succeeded"}),
    ],
)
async def test_an_example_that_runs_by_itself(
    platform: Platform, org_id: str, name: str, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    run_id = await submitted(platform, org_id, name, inputs)

    assert outputs == succeeded(await platform.ended(org_id, run_id)).outputs


async def test_a_trip_without_a_car_is_taken_back(platform: Platform, org_id: str) -> None:
    run_id = await submitted(platform, org_id, "compensation", {"sold_out": True})

    view = await platform.ended(org_id, run_id)

    assert ("car", "code.raised") == (view.run.failed_node, view.run.error_code)
    steps = [(step.key.node_id, step.key.part) for step in await platform.steps(org_id, run_id)]
    assert [("hotel", "compensation"), ("flight", "compensation"), ("tell", None)] == steps[3:]


@pytest.mark.parametrize(("approved", "sending"), [(True, "succeeded"), (False, "skipped")])
async def test_the_approval_sends_only_what_was_approved(
    platform: Platform, org_id: str, approved: bool, sending: str
) -> None:
    run_id = await submitted(platform, org_id, "approval", {"recipient": "Ada"})

    await decide(platform, await opened(platform, org_id, run_id), approved=approved)

    view = succeeded(await platform.ended(org_id, run_id))
    assert {"approved": approved, "sending": sending} == view.outputs


async def test_the_agent_reads_the_letter_that_it_is_asked_about(platform: Platform, org_id: str) -> None:
    draft = parse_prompt_file((EXAMPLES / "agent/prompts/letter_reader.v1.yaml").read_text(encoding="utf-8"))
    await platform.prompt(org_id, draft.name, draft.template, draft.input_schema)
    call = ScriptedToolCall(name="s3_fetch", arguments='{"bucket": "documents", "key": "letter.txt"}')
    platform.provider.script(
        Answer(tool_calls=(call,), stop_reason="tool_calls"), Answer(text="It asks for a letter or a call.")
    )

    run_id = await submitted(platform, org_id, "agent", {"question": "What does letter.txt ask for?"})

    view = succeeded(await platform.ended(org_id, run_id))
    assert {"answer": "It asks for a letter or a call."} == view.outputs
    assert (2, 1) == (view.nodes[0].turns, view.nodes[0].tool_calls)
    assert {"EMAIL": 1, "PHONE": 1} == view.nodes[0].pii


async def test_the_wait_goes_on_with_its_event(platform: Platform, org_id: str) -> None:
    run_id = await submitted(platform, org_id, "wait", {"order": "42"})

    async def delivered() -> bool:
        try:
            await gates(platform).deliver(
                org_id=org_id, run_id=run_id, event_key="paid 42", payload={"cents": 1999}, delivered_by="shop"
            )
        except GateNotFound:
            return False
        return True

    await until(delivered)

    view = succeeded(await platform.ended(org_id, run_id))
    assert {"booked": {"order": "42", "cents": 1999}} == view.outputs
