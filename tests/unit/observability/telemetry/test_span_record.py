import pytest

from agentflow.money import MicroUsd
from observability.telemetry.span_record import ModelCall, llm_span, run_span, step_span, tool_span
from tests.counted_work import calls_of
from tests.unit.observability.sample_run import SampleRun, call, outcome


def test_a_run_is_named_after_its_workflow() -> None:
    span = run_span(
        org_id="org_1", run_id="run_1", name="analysis", version=3, outcome=outcome(0, 5), budget_micro_usd=MicroUsd(9)
    )

    assert span.name == "invoke_workflow analysis"
    assert span.parent_span_id is None
    assert span.attributes == {
        "agentflow.span.type": "run",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "analysis",
        "agentflow.workflow.version": 3,
        "agentflow.budget_micro_usd": 9,
    }


@pytest.mark.parametrize(("item_index", "name"), [(None, "step analyze"), (0, "step analyze[0]")])
def test_a_step_is_named_after_its_node_and_item(item_index: int | None, name: str) -> None:
    step = SampleRun().step("analyze", item_index=item_index, attempt=2)

    span = step_span(step, kind="llm", outcome=outcome(0, 5, "error", "RateLimited"))

    assert name == span.name
    assert (span.attempt, span.status, span.error_type) == (2, "error", "RateLimited")


def test_a_model_call_carries_the_conventions_attributes() -> None:
    model_call = ModelCall(
        provider="anthropic",
        request_model="large-1",
        temperature=0.0,
        max_tokens=90,
        response_model="large-1-0101",
        response_id="msg_1",
        finish_reasons=("stop",),
        input_tokens=100,
        output_tokens=20,
        cache_read_input_tokens=60,
        cache_creation_input_tokens=30,
        reasoning_output_tokens=5,
        prompt_name="document_analyzer",
        prompt_version=3,
        cost_micro_usd=MicroUsd(42),
    )

    span = llm_span(SampleRun().step("analyze"), ordinal=0, call=model_call, outcome=outcome(0, 5))

    assert (span.name, span.kind) == ("chat large-1", "CLIENT")
    assert span.attributes == {
        "agentflow.span.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "large-1",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 90,
        "gen_ai.response.model": "large-1-0101",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 30,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.prompt.name": "document_analyzer",
        "gen_ai.prompt.version": 3,
        "agentflow.cost_micro_usd": 42,
        "agentflow.cache.hit": False,
    }


def test_a_call_that_got_no_answer_claims_no_usage() -> None:
    unanswered = ModelCall(provider="openai", request_model="small-1")

    span = llm_span(SampleRun().step("analyze"), ordinal=0, call=unanswered, outcome=outcome(0, 5, "error", "Timeout"))

    assert not [name for name in span.attributes if ".usage." in name or ".response." in name]


def test_a_callers_attribute_is_kept_but_does_not_replace_a_builders() -> None:
    extra = {"gen_ai.tool.name": "other", "agentflow.tool.policy": "live"}

    span = tool_span(SampleRun().step("ingest"), ordinal=0, name="s3.fetch", outcome=outcome(0, 5), attributes=extra)

    assert span.name == "execute_tool s3.fetch"
    assert (span.attributes["gen_ai.tool.name"], span.attributes["agentflow.tool.policy"]) == ("s3.fetch", "live")


def test_a_span_never_lasts_less_than_nothing() -> None:
    span = step_span(SampleRun().step("ingest"), kind="tool", outcome=outcome(5, 3))

    assert span.duration_seconds == 0.0


def test_a_step_and_its_call_are_built_in_few_steps() -> None:
    step, model_call, result = SampleRun().step("analyze", item_index=1), call(), outcome(0, 5)

    def build() -> None:
        step_span(step, kind="llm", outcome=result)
        llm_span(step, ordinal=0, call=model_call, outcome=result)

    # About 90: every step of every run pays for them.
    assert calls_of(build) < 180
