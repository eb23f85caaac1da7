"""What is paid for is kept, and what is no whole answer is no silent success."""

import json
import zlib
from typing import Any

import pytest

from cas.budget_ledger import BudgetLedger
from runs.models import RunState
from tests.scripted_provider import Answer, Fail, ScriptedToolCall, ScriptedUsage
from tests.workflows.documents import QUICK_RETRY, agent, dag, function_map, llm, llm_map, projection
from tests.workflows.platform import Platform, succeeded
from tests.workflows.test_reruns import rerun

TITLED = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["title", "score"],
    "additionalProperties": False,
}
GOOD = '{"title": "Ok", "score": 3}'


async def exchanges(platform: Platform, run_id: str) -> list[dict[str, Any]]:
    """What each attempt of the run's steps sent and got, in order."""
    rows = await platform.rows(
        "SELECT attempt, status, error_code, content FROM step_exchanges WHERE run_id = :run_id ORDER BY ended_at",
        run_id=run_id,
    )
    return [{**row, "content": json.loads(zlib.decompress(row["content"]))} for row in rows]


async def test_a_call_that_only_waits_for_held_money_waits_and_the_run_spends_its_whole_budget(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    node = llm_map("each", "inputs.texts", window=20, config={"max_tokens": 200})
    await platform.register(org_id, dag("held", node))
    answers = [
        Answer(text=f"answer {number}", usage=ScriptedUsage(input_tokens=10, output_tokens=40)) for number in range(20)
    ]
    platform.provider.script(*answers)

    # Each holds more than 400 micro-USD while it is under way, and costs 90.
    run_id = await platform.submit(org_id, "held", {"texts": [f"text {n}" for n in range(20)]}, budget=19 * 90 + 500)
    view = succeeded(await platform.ended(org_id, run_id))

    assert 20 * 90 == view.run.cost_micro_usd
    async with platform.resources.database.transaction() as session:
        (status,) = await BudgetLedger(session, platform.resources.clock).statuses(org_id=org_id, run_id=run_id)
    assert (20 * 90, 0) == (status.spent_micro_usd, status.held_micro_usd)


async def test_a_call_that_no_budget_will_ever_hold_does_not_wait(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    node = llm_map("each", "inputs.texts", window=2, config={"max_tokens": 200})
    platform.provider.script(*(Answer(text="x", usage=ScriptedUsage(input_tokens=10, output_tokens=40)),) * 2)

    view = await platform.run(org_id, dag("never", node), {"texts": ["a", "b"]}, budget=500)

    assert (RunState.FAILED, "budget.exceeded") == (view.run.state, view.run.error_code)


@pytest.mark.parametrize("config", [{"temperature": 0.9}, {}])
async def test_a_model_that_samples_is_asked_each_time_round_a_loop(
    platform: Platform, org_id: str, config: dict[str, Any]
) -> None:
    await platform.prompt(org_id, "ask", "Draft {{ content }}")
    body = {
        "type": "llm",
        "config": {"prompt_ref": "ask@1", "inputs": {"content": "'it'"}, "output_schema": TITLED, **config},
    }
    loop = {"max_iterations": 5, "until": "last.score >= 3", "on_exhausted": "fail", "body": body}
    document = dag("drafts", {"id": "draft", "type": "loop", "config": loop}, outputs={"score": "draft.output.score"})
    platform.provider.script(*(Answer(text=json.dumps({"title": "d", "score": score})) for score in (1, 2, 3)))

    view = succeeded(await platform.run(org_id, document))

    assert {"score": 3} == view.outputs
    assert 0 == view.nodes[0].cache_hits


async def test_one_answer_will_do_for_a_model_that_does_not_sample_or_where_the_policy_says_so(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Once {{ content }}")
    for name, config, policy in (("vote0", {"temperature": 0}, {}), ("vote9", {"temperature": 0.9}, {"cache": True})):
        before = len(platform.provider.requests)
        votes = llm_map("votes", "inputs.texts", window=1, config=config, policy=policy)
        texts = [f"the same {config}"] * 4

        view = succeeded(await platform.run(org_id, dag(name, votes), {"texts": texts}))

        assert 3 == view.nodes[0].cache_hits
        assert before + 1 == len(platform.provider.requests)


async def test_a_rerun_asks_what_it_says_it_runs(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Rerun {{ content }}")
    document = dag("anew", llm("a", "'it'", config={"temperature": 0}), outputs={"text": "a.output"})
    platform.provider.script(Answer(text="first"))
    first = succeeded(await platform.run(org_id, document))
    platform.provider.script(Answer(text="second"))

    second = succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("a",)))

    assert ({"text": "first"}, {"text": "second"}) == (first.outputs, second.outputs)
    assert 0 == second.nodes[0].cache_hits


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Answer(text="The report says that the", stop_reason="length"), "cut"),
        (Answer(text="I cannot help.", stop_reason="content_filter"), "refused"),
        (Answer(text=" \n"), "empty"),
        (Answer(text="", stop_reason="tool_calls"), "empty"),
    ],
)
async def test_an_answer_that_is_not_whole_fails_once_and_is_kept_unless_it_is_accepted(
    platform: Platform, org_id: str, answer: Answer, word: str
) -> None:
    await platform.prompt(org_id, "ask", "Ask {{ content }}")
    before, code = len(platform.provider.requests), f"answer.{word}"
    platform.provider.script(answer)

    failed = await platform.run(org_id, dag("strict", llm("ask", "'x'", retry=QUICK_RETRY)))

    assert (RunState.FAILED, code, before + 1) == (
        failed.run.state,
        failed.run.error_code,
        len(platform.provider.requests),
    )
    assert (10, 5) == (failed.input_tokens, failed.output_tokens)
    (kept,) = await exchanges(platform, failed.run.run_id)
    assert (code, answer.text) == (kept["error_code"], kept["content"]["answers"][0]["text"])
    assert "Ask x" == kept["content"]["messages"][0]["text"]

    platform.provider.script(answer)
    node = llm("ask", "'x'", config={"accept": [word]})
    accepted = succeeded(await platform.run(org_id, dag("lenient", node, outputs={"text": "ask.output"})))

    assert {"text": answer.text} == accepted.outputs
    (kept,) = await exchanges(platform, accepted.run.run_id)
    assert answer.stop_reason == kept["content"]["answers"][0]["finish_reason"]


async def test_an_agents_last_answer_must_be_whole_too(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Agent {{ content }}")
    platform.provider.script(Answer(text="", stop_reason="tool_calls"))

    view = await platform.run(org_id, dag("agency", agent("ask", "'x'", "s3.fetch")))

    assert (RunState.FAILED, "answer.empty") == (view.run.state, view.run.error_code)


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"  ```\n{GOOD}```\n", f"```JSON \n{GOOD}\n ```  "])
async def test_a_fence_around_a_whole_answer_is_taken_off(platform: Platform, org_id: str, text: str) -> None:
    await platform.prompt(org_id, "ask", "Fence {{ content }}")
    platform.provider.script(Answer(text=text))
    node = llm("ask", "'x'", config={"output_schema": TITLED})

    view = succeeded(await platform.run(org_id, dag("fence", node, outputs={"title": "ask.output.title"})))

    assert {"title": "Ok"} == view.outputs


async def test_every_answer_that_was_paid_for_is_kept_with_what_was_asked(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Keep {{ content }}")
    platform.provider.script(Answer(text="not JSON"), Fail(status=500), Answer(text='{"title": 7}'), Answer(text=GOOD))
    node = llm("ask", "'x'", config={"output_schema": TITLED}, retry={**QUICK_RETRY, "attempts": 4, "when": "true"})

    view = succeeded(await platform.run(org_id, dag("kept", node)))

    kept = await exchanges(platform, view.run.run_id)
    texts = [[answer["text"] for answer in each["content"]["answers"]] for each in kept]
    assert [["not JSON"], [], ['{"title": 7}'], [GOOD]] == texts
    assert ["step.output_not_json", "provider.unavailable", "scl.schema_violation", None] == [
        each["error_code"] for each in kept
    ]
    assert (30, 15, 60) == (view.input_tokens, view.output_tokens, view.run.cost_micro_usd)


@pytest.mark.parametrize(("needle", "ran"), [("refund", True), ("nothing like it", False)])
async def test_a_condition_on_a_long_text_is_asked_where_the_text_is(
    platform: Platform, org_id: str, needle: str, ran: bool
) -> None:
    await platform.prompt(org_id, "ask", "Long {{ content }}")
    platform.provider.script(Answer(text=f"{'word ' * 2_000} refund"))
    after = projection("after", {"v": "'ran'"}, when=f"ask.output.contains('{needle}')", depends=["ask"])

    view = succeeded(await platform.run(org_id, dag("long", llm("ask", "'x'"), after, outputs={"s": "after.status"})))

    assert {"s": "succeeded" if ran else "skipped"} == view.outputs


async def test_a_loop_ends_by_a_long_text(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Long loop {{ content }}")
    platform.provider.script(Answer(text="word " * 2_000), Answer(text=f"{'word ' * 2_000} end"))
    body = {"type": "llm", "config": {"prompt_ref": "ask@1", "inputs": {"content": "'x'"}}}
    loop = {"max_iterations": 3, "until": "last.endsWith('end')", "on_exhausted": "fail", "body": body}

    succeeded(await platform.run(org_id, dag("until", {"id": "draft", "type": "loop", "config": loop})))


@pytest.mark.parametrize(
    ("value", "kind"), [("true", "a text ('true')"), (1, "a number (1)"), (None, "null"), ([1], "a list")]
)
async def test_a_condition_that_gives_no_boolean_fails_its_run(
    platform: Platform, org_id: str, value: Any, kind: str
) -> None:
    node = projection("refund", {"v": "'paid'"}, when="inputs.is_refund")

    view = await platform.run(org_id, dag("refund", node), {"is_refund": value})

    assert (RunState.FAILED, "expression.failed", "refund") == (
        view.run.state,
        view.run.error_code,
        view.run.failed_node,
    )
    assert f"this gives {kind}" in str(view.run.error_message)


def tree(items: str, fan_in: int) -> dict[str, Any]:
    body = {"type": "function", "config": {"function_name": "result_merger", "inputs": {"results": "items"}}}
    return {"id": "merge", "type": "reduce", "config": {"over": items, "fan_in": fan_in, "body": body}}


@pytest.mark.parametrize(
    ("items", "merged"),
    [
        ([["a"], ["b"], ["c"], ["d"]], ["a", "b", "c", "d"]),
        (["a", "b", "c", "d", "e"], "a\n\nb\n\nc\n\nd\n\ne"),
        ([{"a": 1}, {"b": 2}, {"a": 3}, {"c": 4}], {"a": 3, "b": 2, "c": 4}),
        ([None, None, None, ["x"], [], ["y"]], ["x", "y"]),
        ([[["deep"]], [["er"]], [[]], [[[]]]], [["deep"], ["er"], [], [[]]]),
    ],
)
async def test_a_reduction_in_the_form_of_a_tree_gives_what_one_in_one_go_gives(
    platform: Platform, org_id: str, items: list[Any], merged: Any
) -> None:
    outputs = {"merged": "merge.output.merged", "count": "merge.output.count"}
    for fan_in in (2, 3):
        document = dag(f"tree{fan_in}", tree("inputs.items", fan_in), outputs=outputs)

        view = succeeded(await platform.run(org_id, document, {"items": items}))

        assert {"merged": merged, "count": sum(item is not None for item in items)} == view.outputs


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a\x00b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("\ud83d", "cannot be printed"),
        ("", "has 0 characters"),
        ("x" * 257, "has 257 characters"),
        (["a"], "neither a text nor a whole number"),
        (None, "neither a text nor a whole number"),
    ],
)
async def test_a_key_that_no_event_could_have_fails_its_wait(
    platform: Platform, org_id: str, key: Any, reason: str
) -> None:
    wait = {"id": "hear", "type": "wait", "config": {"event": "{{ inputs.key }}", "timeout": "1h"}}

    view = await platform.run(org_id, dag("hear", wait), {"key": key})

    assert (RunState.FAILED, "wait.event_key_invalid") == (view.run.state, view.run.error_code)
    assert reason in str(view.run.error_message)


async def test_tokens_of_the_vault_do_not_leave_by_a_tool_unless_a_policy_says_so(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Echo {{ content }}")
    await platform.run(org_id, dag("seen", llm("ask", "'ada@example.org'")))
    sent = platform.provider.requests[-1].body["messages"][0]["content"]
    token = sent.removeprefix("Echo ")
    url = f"{platform.provider.base_url_openai}/nothing"
    args = {"url": url, "method": "POST", "json": {"to": ["{{ inputs.to }}"]}, "expected_statuses": [404]}
    send = {"id": "send", "type": "tool", "config": {"tool_name": "http.request", "tool_args": args}}

    refused = await platform.run(org_id, dag("send", send), {"to": token})
    allowed = await platform.run(org_id, dag("say", {**send, "policy": {"tokens": "allow"}}), {"to": token})
    alike = await platform.run(org_id, dag("send", send), {"to": "<EMAIL_000000000000>"})

    assert (RunState.FAILED, "scl.policy_denied") == (refused.run.state, refused.run.error_code)
    assert "restore: true" in str(refused.run.error_message)
    assert [RunState.SUCCEEDED] * 2 == [allowed.run.state, alike.run.state]


async def test_how_a_node_ended_can_be_read_by_conditions_arguments_items_gates_and_outputs(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Ends {{ content }}")
    platform.provider.script(Answer(text="no", stop_reason="content_filter"), Answer(text="and", stop_reason="length"))
    hear = {"event": "{{ bad.error.code }}", "timeout": "1s", "on_timeout": "continue"}
    document = dag(
        "ends",
        llm("bad", "'a'", on_error="continue"),
        llm("cut", "'b'", config={"accept": ["cut"]}, depends=["bad"]),
        projection("told", {"code": "bad.error.code"}, when="bad.error.code == 'answer.refused'"),
        projection("skipped", {"v": "1"}, when="cut.error != null || cut.finish_reason == 'stop'"),
        function_map("each", "inputs.items", {"v": "cut.finish_reason + item"}),
        {"id": "hear", "type": "wait", "config": hear},
        outputs={
            "code": "told.output.code",
            "message": "bad.error.message",
            "skipped": "skipped.status",
            "finish": "cut.finish_reason",
            "items": "each.output.map(e, e.v)",
            "none": "cut.error",
        },
    )

    view = succeeded(await platform.run(org_id, document, {"items": ["!", "?"]}))

    assert view.outputs is not None
    assert "'bad'" in str(view.outputs["message"])
    assert {
        "code": "answer.refused",
        "skipped": "skipped",
        "finish": "length",
        "items": ["length!", "length?"],
        "none": None,
    } == {name: value for name, value in view.outputs.items() if name != "message"}
    (gate,) = await platform.rows("SELECT event_key FROM gates WHERE run_id = :run_id", run_id=view.run.run_id)
    assert "answer.refused" == gate["event_key"]


async def test_how_an_answer_ended_outlives_loops_and_reruns(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Outlives {{ content }}")
    platform.provider.script(Answer(text="a", stop_reason="length"), Answer(text="b", stop_reason="length"))
    body = {"type": "llm", "config": {"prompt_ref": "ask@1", "inputs": {"content": "'x'"}, "accept": ["cut"]}}
    document = dag(
        "outlives",
        {"id": "round", "type": "loop", "config": {"max_iterations": 1, "body": body}},
        llm("ask", "'y'", config={"accept": ["cut"]}, depends=["round"]),
        projection("last", {"v": "[round.finish_reason, ask.finish_reason]"}),
        outputs={"told": "last.output.v"},
    )
    first = succeeded(await platform.run(org_id, document))

    second = succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("last",)))

    assert {"told": ["length", "length"]} == first.outputs == second.outputs


@pytest.mark.parametrize(("answer", "schema"), [("", None), ("I cannot.", TITLED), ("", TITLED)])
async def test_an_accepted_refusal_is_no_other_failure(
    platform: Platform, org_id: str, answer: str, schema: dict[str, Any] | None
) -> None:
    await platform.prompt(org_id, "ask", "Refuse {{ content }}")
    platform.provider.script(Answer(text=answer, stop_reason="content_filter"))
    config = {"accept": ["refused"], **({"output_schema": schema} if schema else {})}
    outputs = {"text": "ask.output", "ending": "ask.finish_reason"}
    before = len(platform.provider.requests)

    view = succeeded(await platform.run(org_id, dag("refusal", llm("ask", "'x'", config=config), outputs=outputs)))

    assert {"text": None if schema else answer, "ending": "content_filter"} == view.outputs
    assert before + 1 == len(platform.provider.requests)


async def test_a_turn_that_was_cut_calls_none_of_its_tools(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Cut {{ content }}")
    call = ScriptedToolCall(name="s3_fetch", arguments='{"bucket": "documents", "key": "letter.txt"}')
    platform.provider.script(Answer(text="", tool_calls=(call,), stop_reason="length"))

    view = await platform.run(org_id, dag("half", agent("ask", "'x'", "s3.fetch")))

    assert (RunState.FAILED, "answer.cut") == (view.run.state, view.run.error_code)
    assert not [step for step in await platform.steps(org_id, view.run.run_id) if step.kind == "tool"]


async def test_many_failures_can_be_told_at_once(platform: Platform, org_id: str) -> None:
    names = [f"node_{number:03}" for number in range(140)]
    failing = [projection(name, {"v": f"int(inputs.word){' + 1' * 100}"}, on_error="continue") for name in names]
    outputs = {"codes": f"[{', '.join(f'{name}.error.code' for name in names)}]"}

    view = succeeded(await platform.run(org_id, dag("many", *failing, outputs=outputs), {"word": "x"}))

    assert {"codes": ["expression.failed"] * 140} == view.outputs


async def test_held_money_is_waited_for_whatever_the_document_says_of_retries(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    retry = {"attempts": 1, "when": "error.code == 'provider.unavailable'"}
    node = llm_map("each", "inputs.texts", window=8, config={"max_tokens": 200}, retry=retry)
    usage = ScriptedUsage(input_tokens=10, output_tokens=40)
    platform.provider.script(*(Answer(text=f"a{number}", usage=usage) for number in range(8)))
    platform.provider.latency_seconds = 0.3

    view = await platform.run(org_id, dag("patient", node), {"texts": [str(n) for n in range(8)]}, budget=7 * 90 + 500)

    assert 8 * 90 == succeeded(view).run.cost_micro_usd
