"""How many tokens a prompt may have, told before the call, without network, tokenizer or vendor.

Two numbers, because they serve two ends. The *bound* is for money: a byte-level BPE token covers at least one
byte of UTF-8, so that a text has at most as many tokens as bytes; chat templates add control tokens, which the
overheads below cover. The *estimate* is for routing: a third of the bytes, which lies above the usual counts of prose
in both alphabets (~4 bytes a token in English) and ideograms (3 bytes, about one token).

The bound is sure only for byte-level BPE (OpenAI, Llama 3, Qwen, SmolLM, DeepSeek). It is an assumption for vendors
who do not publish their tokenizer; their own usage settles the call, and what lies above the bound is still charged.
"""

from collections.abc import Mapping, Sequence

from agentflow.digest import Json, canonical_json
from cas.provider_models import ChatMessage, ToolSpec

#: Role, delimiters and a tokenizer's dummy prefix; published chat templates use 3 to 8.
TOKENS_PER_MESSAGE = 16
#: The start of the answer, and default system texts that chat templates add when a prompt has none.
TOKENS_PER_REQUEST = 64
#: The system text that a vendor adds once for tools (Anthropic documents 313 to 530).
TOKENS_FOR_TOOL_USE = 640
#: The system text that a vendor adds for a response schema.
TOKENS_FOR_RESPONSE_SCHEMA = 256

_BYTES_PER_ESTIMATED_TOKEN = 3


def max_text_tokens(text: str) -> int:
    """The most tokens that `text` can have: its bytes in UTF-8."""
    return len(text.encode("utf-8", errors="surrogatepass"))


def estimate_text_tokens(text: str) -> int:
    """About how many tokens `text` has: a third of its bytes, rounded up."""
    return -(-max_text_tokens(text) // _BYTES_PER_ESTIMATED_TOKEN)


def max_prompt_tokens(
    messages: Sequence[ChatMessage],
    *,
    tools: Sequence[ToolSpec] = (),
    response_schema: Mapping[str, Json] | None = None,
) -> int:
    """The most input tokens that the request can be billed for: what a reservation holds money for."""
    return _content_bytes(messages, tools, response_schema) + _overhead(messages, tools, response_schema)


def estimate_prompt_tokens(
    messages: Sequence[ChatMessage],
    *,
    tools: Sequence[ToolSpec] = (),
    response_schema: Mapping[str, Json] | None = None,
) -> int:
    """About how many input tokens the request has: what routing compares prices and context sizes with."""
    content = -(-_content_bytes(messages, tools, response_schema) // _BYTES_PER_ESTIMATED_TOKEN)
    return content + _overhead(messages, tools, response_schema) // _BYTES_PER_ESTIMATED_TOKEN


def _content_bytes(
    messages: Sequence[ChatMessage], tools: Sequence[ToolSpec], response_schema: Mapping[str, Json] | None
) -> int:
    total = 0
    for message in messages:
        total += max_text_tokens(message.text) + max_text_tokens(message.tool_call_id or "")
        for call in message.tool_calls:
            total += sum(max_text_tokens(part) for part in (call.call_id, call.name, call.arguments))
    for tool in tools:
        total += max_text_tokens(tool.name) + max_text_tokens(tool.description) + len(canonical_json(tool.parameters))
    if response_schema is not None:
        total += len(canonical_json(response_schema))
    return total


def _overhead(
    messages: Sequence[ChatMessage], tools: Sequence[ToolSpec], response_schema: Mapping[str, Json] | None
) -> int:
    pieces = len(messages) + len(tools) + sum(len(message.tool_calls) for message in messages)
    overhead = TOKENS_PER_REQUEST + pieces * TOKENS_PER_MESSAGE
    if tools:
        overhead += TOKENS_FOR_TOOL_USE
    if response_schema is not None:
        overhead += TOKENS_FOR_RESPONSE_SCHEMA
    return overhead
