"""Each example as a recipe for a golden history: what is shipped is what people begin with."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from promptops.prompt_file import parse_prompt_file
from runs.errors import GateNotFound
from runs.gate_models import Gate
from tests.scripted_provider import Answer, ScriptedToolCall
from tests.workflows.platform import Platform, until
from workflows.gate_service import GateService

EXAMPLES = Path(__file__).parents[2] / "examples"
#: The bucket that document_analysis reads from.
BUCKETS = {"documents": (EXAMPLES / "document_analysis").as_uri()}

_ORG = "org_golden"


async def _submitted(platform: Platform, name: str, inputs: Mapping[str, Any]) -> str:
    text = (EXAMPLES / name / "workflow.yaml").read_text(encoding="utf-8")
    await platform.service.register(org_id=_ORG, text=text)
    return await platform.submit(_ORG, name, inputs)


async def _ended(platform: Platform, name: str, inputs: Mapping[str, Any]) -> str:
    run_id = await _submitted(platform, name, inputs)
    await platform.ended(_ORG, run_id)
    return run_id


async def _large_map(platform: Platform) -> str:
    return await _ended(platform, "large_map", {"numbers": [4, 0, 5]})


async def _code(platform: Platform) -> str:
    return await _ended(platform, "code", {"text": "to be or not to be"})


async def _document_analysis(platform: Platform) -> str:
    for file in sorted((EXAMPLES / "document_analysis" / "prompts").glob("*.yaml")):
        draft = parse_prompt_file(file.read_text(encoding="utf-8"))
        await platform.prompt(_ORG, draft.name, draft.template, draft.input_schema)
    return await _ended(platform, "document_analysis", {"document_key": "sample.pdf"})


async def _approval(platform: Platform) -> str:
    run_id = await _submitted(platform, "approval", {"recipient": "Ada"})
    service = _gates(platform)

    async def opened() -> list[Gate]:
        return await service.list_approvals(org_id=_ORG, is_open=True, run_id=run_id, after="", limit=1)

    [gate] = await until(opened)
    await service.decide(
        org_id=_ORG,
        gate_id=gate.gate_id,
        approved=True,
        subject_digest=str(gate.subject_digest),
        decision_id="decision_1",
        decided_by="ada",
        comment=None,
    )
    await platform.ended(_ORG, run_id)
    return run_id


async def _wait(platform: Platform) -> str:
    run_id = await _submitted(platform, "wait", {"order": "42"})
    service = _gates(platform)

    async def delivered() -> bool:
        try:
            await service.deliver(
                org_id=_ORG, run_id=run_id, event_key="paid 42", payload={"cents": 1999}, delivered_by="shop"
            )
        except GateNotFound:
            return False
        return True

    await until(delivered)
    await platform.ended(_ORG, run_id)
    return run_id


async def _agent(platform: Platform) -> str:
    draft = parse_prompt_file((EXAMPLES / "agent/prompts/letter_reader.v1.yaml").read_text(encoding="utf-8"))
    await platform.prompt(_ORG, draft.name, draft.template, draft.input_schema)
    call = ScriptedToolCall(name="s3_fetch", arguments='{"bucket": "documents", "key": "sample.md"}')
    platform.provider.script(Answer(tool_calls=(call,), stop_reason="tool_calls"), Answer(text="It reports."))
    return await _ended(platform, "agent", {"question": "What is sample.md?"})


def _gates(platform: Platform) -> GateService:
    resources = platform.resources
    return GateService(resources.database, resources.blobs, platform.temporal, resources.clock)


def _of(name: str, inputs: Mapping[str, Any]) -> Callable[[Platform], Awaitable[str]]:
    """An example that runs by itself."""
    return lambda platform: _ended(platform, name, inputs)


EXAMPLE_RECIPES: dict[str, Callable[[Platform], Awaitable[str]]] = {
    "example_large_map": _large_map,
    "example_code": _code,
    "example_document_analysis": _document_analysis,
    "example_agent": _agent,
    "example_approval": _approval,
    "example_wait": _wait,
    "example_loop": _of("loop", {"number": 2}),
    "example_race": _of("race", {"number": 97}),
    "example_reduce": _of("reduce", {"words": list("abcdef")}),
    "example_sub_workflow": _of("sub_workflow", {"texts": ["one two", "three"]}),
    "example_compensation": _of("compensation", {"sold_out": True}),
}
