"""The embedded llama.cpp server, or any other keyless server of the chat-completions protocol."""

from cas.providers.openai_provider import OpenAIProvider


class LocalProvider(OpenAIProvider):
    """A server on this machine or network that asks for no key."""

    #: Older servers ignore `max_completion_tokens`, and an ignored limit is an unbounded answer.
    output_limit_name = "max_tokens"

    def __init__(self, *, base_url: str) -> None:
        # The SDK refuses to send no key; the server does not look at it.
        super().__init__(api_key="none", base_url=base_url, name="local")
