"""Every other vendor, through litellm: a model is named `vendor/model`, and litellm finds the key in the environment.

litellm takes 3 to 5 seconds to import, so that it is imported at the first call, in a thread.
"""

import asyncio
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from agentflow.bounded_body import ACCEPT_ENCODING, bounded_async
from cas.errors import (
    ContentRefused,
    ContextTooLong,
    MalformedProviderResponse,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderRejected,
)
from cas.provider_models import MAX_ANSWER_BYTES, ModelRequest, ModelResponse
from cas.providers.chat_completions import ChatStream, chat_arguments, response_of
from cas.providers.foreign_errors import error_of_status, with_sending
from cas.providers.vendor_logging import never_log_requests

NAME = "litellm"

#: Classes of litellm.exceptions whose status says less than their name, and those that carry none.
_LEAVES: tuple[tuple[str, type[ProviderError]], ...] = (
    ("ContextWindowExceededError", ContextTooLong),
    ("ContentPolicyViolationError", ContentRefused),
    ("PaymentRequiredError", ProviderAuthenticationFailed),
    ("APIResponseValidationError", MalformedProviderResponse),
    ("BlockedPiiEntityError", ContentRefused),
    ("GuardrailRaisedException", ContentRefused),
    ("ModifyResponseException", ContentRefused),
    ("SensitiveDataRouteException", ContentRefused),
    ("BudgetExceededError", ProviderAuthenticationFailed),
    ("ModelNotMappedError", ProviderRejected),
    ("UnsupportedParamsError", ProviderRejected),
)


def import_litellm() -> Any:
    """The module, set up to keep quiet: no price map from the network, no telemetry, no prompt text in logs."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.drop_params = False
    never_log_requests("LiteLLM", "openai")
    _bound_answers(importlib.import_module("litellm.llms.custom_httpx.aiohttp_transport").LiteLLMAiohttpTransport)
    return litellm


def _bound_answers(transport: Any) -> None:
    """Bounds what comes through the transport of all of its clients, which it makes itself and offers no hook for."""
    unbounded = transport.handle_async_request
    if hasattr(unbounded, "is_bounded"):
        return
    bounding = bounded_async(httpx, limit_bytes=MAX_ANSWER_BYTES)

    async def handle(self: Any, request: httpx.Request) -> httpx.Response:
        request.headers.update(ACCEPT_ENCODING)
        response: httpx.Response = await unbounded(self, request)
        await bounding(response)
        return response

    handle.is_bounded = True  # type: ignore[attr-defined]  # Imported twice, it is bounded once.
    transport.handle_async_request = handle


def provider_error_of(error: BaseException, *, model: str) -> ProviderError:
    """The leaf of ProviderError for whatever a call through litellm raised, and so after litellm's import."""
    exceptions = importlib.import_module("litellm.exceptions")
    for class_name, leaf in _LEAVES:
        if isinstance(error, getattr(exceptions, class_name)):
            return leaf(provider=NAME, model=model, reason=type(error).__name__)
    import openai

    from cas.providers.openai_provider import provider_error_of as error_of_openai

    status = getattr(error, "status_code", None)
    if isinstance(error, openai.APIStatusError | exceptions.APIError) and isinstance(status, int):
        return error_of_status(
            status,
            provider=NAME,
            model=model,
            codes=(getattr(error, "code", None), getattr(error, "type", None)),
            message=str(getattr(error, "message", "")),
            headers=getattr(error, "litellm_response_headers", None),
        )
    # The rest are OpenAI's classes: of its connection errors and timeouts litellm says 500 and 408.
    return error_of_openai(error, provider=NAME, model=model)


class LitellmProvider:
    """Clients are litellm's: it keeps one for each vendor."""

    def __init__(self, *, api_key: str | None = None, base_url: str | None = None) -> None:
        given = {"api_key": api_key, "base_url": base_url}
        self._connection = {name: value for name, value in given.items() if value is not None}
        self._litellm: Any = None

    @property
    def name(self) -> str:
        """The provider's name in settings, prices and errors."""
        return NAME

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelResponse:
        """Asks once; see ModelProvider. The import of litellm is not part of the request's time."""
        if self._litellm is None:
            self._litellm = await asyncio.to_thread(import_litellm)
        arguments = {
            **chat_arguments(request, output_limit_name="max_tokens"),
            **self._connection,
            "timeout": request.timeout_seconds,
            "max_retries": 0,
            "num_retries": 0,
            # Without this any tool makes it import its gateway for MCP, which needs an extra that is not installed.
            "_skip_mcp_handler": True,
        }
        if request.idempotency_key:
            arguments["extra_headers"] = {"Idempotency-Key": request.idempotency_key}
        try:
            async with asyncio.timeout(request.timeout_seconds):
                if request.stream:
                    return await self._streamed(request, arguments, on_text)
                completion = await self._litellm.acompletion(**arguments)
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # The edge to litellm, whose exceptions have no common base.
            # Without its cause: the vendor's message may quote the prompt, and causes are logged and recorded.
            raise with_sending(provider_error_of(error, model=request.model), error) from None
        response = response_of(completion, request, provider=NAME)
        if on_text is not None:
            on_text(response.text)
        return response

    async def _streamed(
        self, request: ModelRequest, arguments: Mapping[str, Any], on_text: Callable[[str], None] | None
    ) -> ModelResponse:
        answer = ChatStream(request, provider=NAME)
        chunks = await self._litellm.acompletion(**arguments)
        try:
            async for chunk in chunks:
                text = answer.add(chunk)
                if text and on_text is not None:
                    on_text(text)
        finally:
            await chunks.aclose()
        return answer.response()

    async def close(self) -> None:
        """Closes the connections of every client that litellm keeps."""
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()
