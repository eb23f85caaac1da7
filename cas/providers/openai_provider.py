"""OpenAI, and any server that speaks its chat-completions protocol, through OpenAI's own SDK."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import openai

from agentflow.bounded_body import ACCEPT_ENCODING, bounded_async
from cas.errors import (
    ContentRefused,
    MalformedProviderResponse,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from cas.provider_models import MAX_ANSWER_BYTES, ModelRequest, ModelResponse
from cas.providers.chat_completions import ChatStream, as_object, chat_arguments, reading_an_answer, response_of
from cas.providers.foreign_errors import error_of_codes, error_of_status, with_sending
from cas.providers.vendor_logging import never_log_requests

#: What can come out of a call through the SDK. While a stream is read the SDK lets httpx's own errors pass.
FOREIGN_ERRORS = (
    openai.OpenAIError,
    openai.InvalidWebhookSignatureError,
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    TimeoutError,
    json.JSONDecodeError,
    UnicodeDecodeError,
    RecursionError,
)

_LEAVES: tuple[tuple[tuple[type[BaseException], ...], type[ProviderError]], ...] = (
    ((openai.APITimeoutError, httpx.TimeoutException, TimeoutError), ProviderTimeout),
    ((json.JSONDecodeError, UnicodeDecodeError, RecursionError, httpx.DecodingError), MalformedProviderResponse),
    ((openai.APIConnectionError, httpx.TransportError, httpx.StreamError), ProviderUnavailable),
    ((openai.WebSocketConnectionClosedError, openai.WebSocketQueueFullError), ProviderUnavailable),
    ((openai.ContentFilterFinishReasonError,), ContentRefused),
    ((openai.APIResponseValidationError, openai.LengthFinishReasonError), MalformedProviderResponse),
    ((openai.InvalidWebhookSignatureError,), MalformedProviderResponse),
)


def provider_error_of(error: BaseException, *, provider: str, model: str) -> ProviderError:
    """The leaf of ProviderError for whatever a call through OpenAI's SDK raised."""
    if isinstance(error, openai.APIStatusError):
        return error_of_status(
            error.status_code,
            provider=provider,
            model=model,
            codes=(error.code, error.type),
            message=error.message,
            headers=error.response.headers,
        )
    if isinstance(error.__cause__, httpx.DecodingError):
        # Of the SDK's connection error it is the cause.
        error = error.__cause__
    for classes, leaf in _LEAVES:
        if isinstance(error, classes):
            return leaf(provider=provider, model=model, reason=type(error).__name__)
    if isinstance(error, openai.APIError):
        words = [code for code in (error.code, error.type) if isinstance(code, str) and code.isidentifier()]
        return error_of_codes(words, provider=provider, model=model)
    return ProviderRejected(provider=provider, model=model, reason=type(error).__name__)


class OpenAIProvider:
    """One client, and so one pool of connections, for the life of the process."""

    #: The field that every current server of the protocol reads; OpenAI's newer models refuse `max_tokens`.
    output_limit_name = "max_completion_tokens"

    def __init__(self, *, api_key: str, base_url: str | None = None, name: str = "openai") -> None:
        never_log_requests("openai")
        self._name = name
        bounding = bounded_async(httpx, limit_bytes=MAX_ANSWER_BYTES)
        http = openai.DefaultAsyncHttpxClient(headers=ACCEPT_ENCODING, event_hooks={"response": [bounding]})
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http)

    @property
    def name(self) -> str:
        """The provider's name in settings, prices and errors."""
        return self._name

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelResponse:
        """Asks once; see ModelProvider."""
        body = chat_arguments(request, output_limit_name=self.output_limit_name)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                if request.stream:
                    return await self._streamed(request, body, on_text)
                completion = await self._answered(request, body)
        except FOREIGN_ERRORS as error:
            # Without its cause: the vendor's message may quote the prompt, and causes are logged and recorded.
            raise with_sending(provider_error_of(error, provider=self._name, model=request.model), error) from None
        response = response_of(completion, request, provider=self._name)
        if on_text is not None:
            on_text(response.text)
        return response

    async def _answered(self, request: ModelRequest, body: dict[str, Any]) -> Any:
        """The answer by attribute.

        The body is what the protocol wants already: the SDK's `create` would walk through it by its types, and build
        the answer's classes, which takes longer than the rest of the call.
        """
        answer = await self._client.post(
            "/chat/completions",
            cast_to=httpx.Response,
            body=body,
            options={
                "headers": idempotency_headers(request),
                "timeout": request.timeout_seconds,
                # As `create` has it: by default an administrator's key in the environment would do as well.
                "security": {"bearer_auth": True},
            },
        )
        with reading_an_answer(self._name, request.model):
            return answer.json(object_hook=as_object)

    async def _streamed(
        self, request: ModelRequest, body: Mapping[str, Any], on_text: Callable[[str], None] | None
    ) -> ModelResponse:
        answer = ChatStream(request, provider=self._name)
        async with await self._client.chat.completions.create(
            **body, timeout=request.timeout_seconds, extra_headers=idempotency_headers(request)
        ) as chunks:
            async for chunk in chunks:
                text = answer.add(chunk)
                if text and on_text is not None:
                    on_text(text)
        return answer.response()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()


def idempotency_headers(request: ModelRequest) -> dict[str, str]:
    """The header that names the attempt, when it has a name."""
    return {"Idempotency-Key": request.idempotency_key} if request.idempotency_key else {}
