"""What makes two questions the same, and which answers are kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.money import MicroUsd
from cas.exact_cache import cache_key, decode_response, encode_response, is_cacheable
from cas.models import Route
from cas.provider_models import ChatMessage, FinishReason, ModelRequest, ModelResponse, TokenUsage, ToolCall, ToolSpec

ROUTE = Route(
    provider="openai",
    model="m",
    price=None,
    ceiling_micro_usd=MicroUsd(1),
    expected_micro_usd=MicroUsd(1),
    max_output_tokens=512,
)
CALL = ToolCall(call_id="call_1", name="fetch", arguments="{}")
TOOL = ToolSpec(name="fetch", description="Fetches a page.", parameters={"type": "object"})
ASKED = ChatMessage(role="user", text="What is new?")
CALLED = ChatMessage(role="assistant", text="", tool_calls=(CALL,))
TOLD = ChatMessage(role="tool", text="Nothing.", tool_call_id="call_1")
REQUEST = ModelRequest(
    model="m",
    messages=(ASKED, CALLED, TOLD),
    max_output_tokens=100,
    timeout_seconds=10.0,
    temperature=0.5,
    top_p=0.9,
    seed=7,
    stop=("END",),
    response_schema={"type": "object"},
    tools=(TOOL,),
)
ANSWER = ModelResponse(
    text="Nothing is new.",
    tool_calls=(),
    finish_reason="stop",
    usage=TokenUsage(input_tokens=9, output_tokens=4, cache_read_tokens=3, cache_write_tokens=2, reasoning_tokens=1),
    model="m-2026-01-01",
    response_id="response_1",
    time_to_first_token_seconds=None,
    usage_is_estimated=False,
)
COUNTS = st.integers(min_value=0, max_value=10**9)


def test_the_same_question_has_the_same_key() -> None:
    assert key() == key(request=replace(REQUEST, messages=(replace(ASKED), replace(CALLED), replace(TOLD))))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: key(route=replace(ROUTE, provider="litellm")),
        lambda: key(route=replace(ROUTE, model="n")),
        lambda: key(prompt="greeting@2"),
        lambda: key(prompt=""),
        lambda: key(policy="block"),
        lambda: key(request=replace(REQUEST, max_output_tokens=101)),
        lambda: key(request=replace(REQUEST, temperature=0.6)),
        lambda: key(request=replace(REQUEST, temperature=None)),
        lambda: key(request=replace(REQUEST, top_p=0.8)),
        lambda: key(request=replace(REQUEST, seed=8)),
        lambda: key(request=replace(REQUEST, seed=None)),
        lambda: key(request=replace(REQUEST, stop=())),
        lambda: key(request=replace(REQUEST, stop=("END", "STOP"))),
        lambda: key(request=replace(REQUEST, response_schema=None)),
        lambda: key(request=replace(REQUEST, response_schema={"type": "array"})),
        lambda: key(request=replace(REQUEST, tools=())),
        lambda: key(request=replace(REQUEST, tool_choice="none")),
        lambda: key(request=replace(REQUEST, parallel_tool_calls=False)),
        lambda: key(request=replace(REQUEST, tools=(replace(TOOL, name="get"),))),
        lambda: key(request=replace(REQUEST, tools=(replace(TOOL, description="Gets a page."),))),
        lambda: key(request=replace(REQUEST, tools=(replace(TOOL, parameters={}),))),
        lambda: key(request=replace(REQUEST, messages=(TOLD,))),
        lambda: key(request=replace(REQUEST, messages=(CALLED, ASKED, TOLD))),
        lambda: key(request=replace(REQUEST, messages=(replace(ASKED, role="system"), CALLED, TOLD))),
        lambda: key(request=replace(REQUEST, messages=(replace(ASKED, text="What is old?"), CALLED, TOLD))),
        lambda: key(request=replace(REQUEST, messages=(ASKED, replace(CALLED, tool_calls=()), TOLD))),
        lambda: key(request=replace(REQUEST, messages=(ASKED, _called_with('{"page":2}'), TOLD))),
        lambda: key(request=replace(REQUEST, messages=(ASKED, CALLED, replace(TOLD, tool_call_id="call_2")))),
    ],
)
def test_each_thing_that_an_answer_depends_on_changes_the_key(changed: Callable[[], str]) -> None:
    assert key() != changed()


@given(st.text(max_size=5), st.text(max_size=5))
def test_words_do_not_run_over_from_one_message_into_the_next(first: str, second: str) -> None:
    apart = replace(REQUEST, messages=(ChatMessage(role="user", text=first), ChatMessage(role="user", text=second)))
    joined = replace(REQUEST, messages=(ChatMessage(role="user", text=first + second), _empty_message()))

    assert (second == "") == (key(request=apart) == key(request=joined))


@pytest.mark.parametrize(
    "same",
    [
        replace(REQUEST, timeout_seconds=99.0),
        replace(REQUEST, stream=True),
        replace(REQUEST, idempotency_key="call_9"),
    ],
)
def test_what_an_answer_does_not_depend_on_leaves_the_key_as_it_is(same: ModelRequest) -> None:
    assert key() == key(request=same)


def test_the_order_of_a_schemas_members_does_not_matter() -> None:
    one, other = {"type": "object", "title": "t"}, {"title": "t", "type": "object"}

    assert key(request=replace(REQUEST, response_schema=one)) == key(request=replace(REQUEST, response_schema=other))


def test_a_route_is_known_by_its_name_and_not_by_what_it_costs_today() -> None:
    assert key() == key(
        route=replace(ROUTE, ceiling_micro_usd=MicroUsd(9), expected_micro_usd=MicroUsd(9), max_output_tokens=512)
    )


def test_a_whole_answer_is_kept() -> None:
    assert is_cacheable(ANSWER)


@pytest.mark.parametrize("finish_reason", ["length", "tool_calls", "content_filter", "other"])
def test_an_answer_that_did_not_come_to_its_end_is_not_kept(finish_reason: FinishReason) -> None:
    assert not is_cacheable(replace(ANSWER, finish_reason=finish_reason))


def test_an_answer_that_asks_for_a_tool_is_not_kept() -> None:
    assert not is_cacheable(replace(ANSWER, tool_calls=(CALL,)))


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "half a pair: \ud83d", "\udc00"])
def test_an_answer_that_the_database_cannot_hold_is_not_kept(text: str) -> None:
    assert not is_cacheable(replace(ANSWER, text=text))


@given(
    st.builds(
        ModelResponse,
        text=st.text(max_size=50),
        tool_calls=st.just(()),
        finish_reason=st.just("stop"),
        usage=st.builds(TokenUsage, input_tokens=COUNTS, output_tokens=COUNTS, cache_read_tokens=COUNTS),
        model=st.text(max_size=10),
        response_id=st.text(max_size=10),
        time_to_first_token_seconds=st.none(),
        usage_is_estimated=st.booleans(),
    )
)
def test_an_answer_comes_back_as_it_was_kept(answer: ModelResponse) -> None:
    assert answer == decode_response(encode_response(answer))


def test_how_long_an_answer_took_to_begin_is_not_told_of_the_kept_one() -> None:
    kept = decode_response(encode_response(replace(ANSWER, time_to_first_token_seconds=0.5)))

    assert kept == ANSWER


def key(
    *, route: Route = ROUTE, request: ModelRequest = REQUEST, prompt: str = "greeting@1", policy: str = "redact"
) -> str:
    return cache_key(route=route, request=request, prompt=prompt, policy={"pii": policy})


def _called_with(arguments: str) -> ChatMessage:
    return replace(CALLED, tool_calls=(replace(CALL, arguments=arguments),))


def _empty_message() -> ChatMessage:
    return ChatMessage(role="user", text="")
