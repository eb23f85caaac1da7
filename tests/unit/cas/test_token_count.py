"""The laws of counting tokens before a call."""

from hypothesis import given
from hypothesis import strategies as st

from cas.provider_models import ChatMessage, Role, ToolCall, ToolSpec
from cas.token_count import (
    TOKENS_PER_MESSAGE,
    TOKENS_PER_REQUEST,
    estimate_prompt_tokens,
    estimate_text_tokens,
    max_prompt_tokens,
    max_text_tokens,
)

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
TEXTS = st.text(max_size=200)
MESSAGES = st.lists(st.builds(ChatMessage, role=st.sampled_from(ROLES), text=TEXTS), max_size=5)
TOOL = ToolSpec(name="fetch", description="Fetches a page.", parameters={"type": "object"})


@given(TEXTS)
def test_the_bound_of_a_text_is_its_bytes(text: str) -> None:
    assert len(text.encode()) == max_text_tokens(text)


@given(TEXTS)
def test_an_estimate_is_a_third_of_the_characters_at_least_and_the_bound_at_most(text: str) -> None:
    estimate = estimate_text_tokens(text)

    assert len(text) / 3 <= estimate <= max_text_tokens(text)


@given(MESSAGES)
def test_a_prompt_is_never_estimated_above_its_bound(messages: list[ChatMessage]) -> None:
    assert estimate_prompt_tokens(messages) <= max_prompt_tokens(messages)


@given(MESSAGES, TEXTS)
def test_one_more_message_adds_its_bytes_and_its_overhead(messages: list[ChatMessage], text: str) -> None:
    longer = [*messages, ChatMessage(role="user", text=text)]

    assert max_prompt_tokens(messages) + len(text.encode()) + TOKENS_PER_MESSAGE == max_prompt_tokens(longer)


def test_an_empty_prompt_has_the_overhead_of_a_request() -> None:
    assert TOKENS_PER_REQUEST == max_prompt_tokens([])


def test_a_lone_surrogate_is_counted_and_not_refused() -> None:
    assert 3 == max_text_tokens("\ud800")


def test_tools_schemas_and_tool_calls_are_counted() -> None:
    plain = [ChatMessage(role="assistant", text="")]
    calling = [ChatMessage(role="assistant", text="", tool_calls=(ToolCall(call_id="c", name="f", arguments="{}"),))]

    assert max_prompt_tokens(plain) < max_prompt_tokens(calling)
    assert max_prompt_tokens(plain) < max_prompt_tokens(plain, tools=[TOOL])
    assert max_prompt_tokens(plain) < max_prompt_tokens(plain, response_schema={"type": "object"})
