"""A scripted model that asks for tools, and what it was asked."""

import json
from collections.abc import Mapping
from typing import Any

from runs.run_view import RunView
from tests.scripted_provider import Answer, Behaviour, ScriptedToolCall, ScriptedUsage
from tests.workflows.documents import dag
from tests.workflows.platform import Platform

WEATHER, SAY, BOOK, REFUSE = (f"mcp:tests/{name}" for name in ("weather", "say", "book", "refuse"))


def asks(*calls: tuple[str, Any], text: str = "", tokens: int = 15) -> Answer:
    """A turn that asks for tools by the names that the model knows them by; a text as arguments is sent as it is."""
    scripted = tuple(
        ScriptedToolCall(
            name=name,
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
            call_id=f"vendor_{place}",
        )
        for place, (name, arguments) in enumerate(calls)
    )
    usage = ScriptedUsage(input_tokens=tokens - 5, output_tokens=5)
    return Answer(text=text, tool_calls=scripted, stop_reason="tool_calls", usage=usage)


def says(text: str) -> Answer:
    return Answer(text=text)


class Agency:
    """An agent's run, and what its model was asked."""

    def __init__(self, platform: Platform, org_id: str) -> None:
        self.platform, self.org_id = platform, org_id
        self.first = len(platform.provider.requests)

    async def run(self, node: Mapping[str, Any], *script: Behaviour, **inputs: Any) -> RunView:
        await self.platform.prompt(self.org_id, "ask", "{{ content }}")
        self.platform.provider.script(*script)
        document = dag(str(node["id"]), dict(node), outputs={"answer": f"{node['id']}.output"})
        return await self.platform.run(self.org_id, document, inputs)

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        return [request.body for request in self.platform.provider.requests[self.first :]]

    def told(self, turn: int) -> list[str]:
        """What the model was told by tools, in the request of a turn."""
        return [message["content"] for message in self.bodies[turn]["messages"] if message["role"] == "tool"]

    def errors(self, turn: int) -> list[str]:
        return [json.loads(text)["error"]["code"] for text in self.told(turn)]

    async def parts(self, run_id: str) -> list[tuple[str | None, str, str]]:
        steps = await self.platform.steps(self.org_id, run_id)
        return sorted((step.key.part or "", step.kind, step.state.value) for step in steps)
