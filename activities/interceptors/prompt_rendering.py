"""Renders the prompt version that the run resolved, from the arguments that policy let through."""

import asyncio
from typing import Any

from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.resources import Resources
from activities.step_context import StepContext
from cas.provider_models import ChatMessage
from promptops.errors import PromptNotFound
from promptops.prompt_reference import parse_prompt_reference


class PromptRenderingInterceptor(StepInterceptor):
    """Gives llm steps their messages."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> Any:
        """What `proceed` gives; raises what rendering raises, such as PromptInputInvalid."""
        if context.leaf.kind == "llm":
            await self._render(context)
        return await proceed()

    async def _render(self, context: StepContext) -> None:
        reference = parse_prompt_reference(context.call.prompt or context.leaf.target)
        if reference.version is None:
            raise PromptNotFound(name=reference.name, label=reference.label)
        prompt = await self._resources.prompt(org_id=context.org_id, name=reference.name, version=reference.version)
        renderer = self._resources.renderer
        if renderer.is_quick(prompt, context.arguments):
            messages = renderer.render(prompt, context.arguments)
        else:
            # A template may compute for seconds before its limit stops it, and heartbeats must go on.
            messages = await asyncio.to_thread(renderer.render, prompt, context.arguments)
        context.prompt = prompt.reference
        rendered = (ChatMessage(role=message.role, text=message.text) for message in messages)
        context.messages = (*rendered, *context.conversation)
