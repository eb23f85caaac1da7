"""Anthropic's Messages API, through Anthropic's own SDK."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2

from agentflow.bounded_body import ACCEPT_ENCODING, bounded_async
from cas.errors import (
    MalformedProviderResponse,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from cas.provider_models import MAX_ANSWER_BYTES, ModelRequest, ModelResponse
from cas.providers.anthropic_messages import NAME, MessageStream, message_arguments, response_of
from cas.providers.foreign_errors import error_of_status, with_sending
from cas.providers.vendor_logging import never_log_requests

#: What can come out of a call through the SDK. While a stream is read the SDK lets its HTTP client's errors pass.
FOREIGN_ERRORS = (
    anthropic.AnthropicError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    TimeoutError,
    json.JSONDecodeError,
    UnicodeDecodeError,
    RecursionError,
)

_LEAVES: tuple[tuple[tuple[type[BaseException], ...], type[ProviderError]], ...] = (
    ((anthropic.APITimeoutError, httpx2.TimeoutException, TimeoutError), ProviderTimeout),
    ((anthropic.APIConnectionError, anthropic.RetryableError), ProviderUnavailable),
    ((httpx2.TransportError, httpx2.StreamError), ProviderUnavailable),
    ((anthropic.CredentialsError,), ProviderAuthenticationFailed),
    ((anthropic.APIResponseValidationError, anthropic.APIWebhookValidationError), MalformedProviderResponse),
    ((json.JSONDecodeError, UnicodeDecodeError, RecursionError, httpx2.DecodingError), MalformedProviderResponse),
)


def provider_error_of(error: BaseException, *, model: str) -> ProviderError:
    """The leaf of ProviderError for whatever a call through Anthropic's SDK raised."""
    if isinstance(error, anthropic.APIStatusError):
        return error_of_status(
            error.status_code,
            provider=NAME,
            model=model,
            codes=(error.error_code, error.type),
            message=error.api_message or "",
            headers=error.response.headers,
        )
    if isinstance(error.__cause__, httpx2.DecodingError):
        # Of the SDK's connection error it is the cause.
        error = error.__cause__
    for classes, leaf in _LEAVES:
        if isinstance(error, classes):
            return leaf(provider=NAME, model=model, reason=type(error).__name__)
    leaf_of_rest = ProviderUnavailable if isinstance(error, anthropic.APIError) else ProviderRejected
    return leaf_of_rest(provider=NAME, model=model, reason=type(error).__name__)


class AnthropicProvider:
    """One client, and so one pool of connections, for the life of the process."""

    def __init__(self, *, api_key: str, base_url: str | None = None) -> None:
        never_log_requests("anthropic")
        # The SDK's own spans are off: a step has its span already, by one set of rules on what it may hold.
        bounding = bounded_async(httpx2, limit_bytes=MAX_ANSWER_BYTES)
        http = anthropic.DefaultAsyncHttpxClient(headers=ACCEPT_ENCODING, event_hooks={"response": [bounding]})
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key, base_url=base_url, max_retries=0, open_telemetry=False, http_client=http
        )

    @property
    def name(self) -> str:
        """The provider's name in settings, prices and errors."""
        return NAME

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelResponse:
        """Asks once; see ModelProvider. `seed` is not sent: this API has none."""
        arguments = message_arguments(request)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                if request.stream:
                    return await self._streamed(request, arguments, on_text)
                message = await self._client.messages.create(**arguments)
        except FOREIGN_ERRORS as error:
            # Without its cause: the vendor's message may quote the prompt, and causes are logged and recorded.
            raise with_sending(provider_error_of(error, model=request.model), error) from None
        response = response_of(message, request)
        if on_text is not None:
            on_text(response.text)
        return response

    async def _streamed(
        self, request: ModelRequest, arguments: Mapping[str, Any], on_text: Callable[[str], None] | None
    ) -> ModelResponse:
        answer = MessageStream(request)
        async with await self._client.messages.create(**arguments, stream=True) as events:
            async for event in events:
                text = answer.add(event)
                if text and on_text is not None:
                    on_text(text)
        return answer.response()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()
