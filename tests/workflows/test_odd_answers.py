"""Whatever a model, a tool or an MCP server answers: the run ends, its cost is the ledger's, each answer is kept.

The answers are drawn from a grammar of odd ones, by seeds: the same draw is the same test.
"""

import json
import random
import zlib
from typing import Any

import pytest

from runs.models import RunState
from tests.scripted_provider import Answer, Behaviour, Drop, Fail, Malformed, ScriptedToolCall, ScriptedUsage
from tests.workflows.documents import QUICK_RETRY, Node, agent, dag, llm, llm_map, projection
from tests.workflows.platform import Platform

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEXTS = [
    *(
        "",
        " ",
        "plain",
        '{"n": 1}',
        '{"n": 1, "n": "two"}',
        '```json\n{"n": 1}\n```',
        '```\n{"n": 1}',
        "[1, 2]",
        "null",
    ),
    *(
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": "x"}',
        "nul \x00 here",
        '{"n": "half \\ud83d pair"}',
        "\u202ebidi\u200b",
        "7" * 5_000,
    ),
    *("[" * 500 + "]" * 500, '{"n": 12345678901234567890123}', "word " * 3_000, "{{ inputs.secret }}", "<EMAIL_0000>"),
]
ARGUMENTS = [
    "{}",
    '{"x": 1}',
    "[1]",
    "null",
    "not JSON",
    '{"x": "\\ud83d"}',
    '{"url": "http://127.0.0.1:1/"}',
    "{" * 200,
]
USAGES = [
    None,
    ScriptedUsage(),
    ScriptedUsage(input_tokens=0, output_tokens=0),
    ScriptedUsage(input_tokens=5, output_tokens=9, cache_read_tokens=4, reasoning_tokens=3),
    ScriptedUsage(input_tokens=10**18, output_tokens=10**18),
]
ODD_TOOLS = ["missing", "wrong", "null", "list", "good", "sound", "no_description"]


def answer(draw: random.Random, *, calls: bool) -> Answer:
    wishes = tuple(
        ScriptedToolCall(
            name=draw.choice(["mcp_odd_missing", "http_request", "rm -rf", "", "s3_fetch"]),
            arguments=draw.choice(ARGUMENTS),
            call_id=draw.choice(["call_1", "call_1", ""]),
        )
        for _ in range(draw.choice([0, 0, 1, 2]) if calls else 0)
    )
    return Answer(
        text=draw.choice(TEXTS),
        tool_calls=wishes,
        stop_reason=draw.choice(["stop", "stop", "stop", "length", "content_filter", "tool_calls"]),
        usage=draw.choice(USAGES),
        model=draw.choice([None, "another-model", ""]),
    )


def behaviour(draw: random.Random, *, calls: bool) -> Behaviour:
    if draw.random() < 0.75:
        return answer(draw, calls=calls)
    failures: list[Behaviour] = [
        *(Fail(status=status) for status in (400, 401, 429, 500)),
        Fail(status=429, retry_after="0"),
        Drop(),
        Malformed(),
        Malformed(body=b"<html>", content_type="text/html"),
        Malformed(body=b'{"choices": []}'),
    ]
    return draw.choice(failures)


def nodes(draw: random.Random) -> list[Node]:
    """Nodes of every kind that asks outside, one after the other, none of whose failures ends the run."""
    more: dict[str, Any] = {"on_error": "continue", "retry": {**QUICK_RETRY, "attempts": 2, "max": 0.05}}
    mcp = {"tool_name": f"mcp:odd/{draw.choice(ODD_TOOLS)}", "tool_args": {}}
    accept = draw.choice([[], ["cut"], ["cut", "refused", "empty"]])
    return [
        llm("plain", "'a'", config={"accept": accept}, **more),
        llm("typed", "'b'", config={"output_schema": SCHEMA, "accept": accept}, depends=["plain"], **more),
        llm_map("each", "inputs.texts", window=1, depends=["typed"], config={"output_schema": SCHEMA}, **more),
        {"id": "tool", "type": "tool", "config": mcp, "depends": ["each"], **more},
        agent("asks", "'c'", "mcp:odd/missing", "http.request", config={"max_iterations": 3}, depends=["tool"], **more),
        projection("last", {"told": "[plain.status, typed.status, asks.status]"}, depends=["asks"]),
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_a_run_ends_its_cost_is_the_ledgers_and_each_answer_is_kept(
    platform: Platform, org_id: str, seed: int
) -> None:
    draw = random.Random(seed)
    await platform.prompt(org_id, "ask", "{{ content }}")
    script = [behaviour(draw, calls=place > 6) for place in range(60)]
    platform.provider.script(*script)
    before = len(platform.provider.requests)
    document = dag(f"odd{seed}", *nodes(draw))

    view = await platform.run(org_id, document, {"texts": ["x", "y"]}, budget=10_000_000)

    assert view.run.state in {RunState.SUCCEEDED, RunState.FAILED}, (seed, view.run.state)
    run_id = view.run.run_id
    (spent,) = await platform.rows(
        "SELECT coalesce(sum(amount_micro_usd), 0)::bigint AS micro_usd FROM ledger_entries "
        "WHERE run_id = :run_id AND account LIKE 'spend:%'",
        run_id=run_id,
    )
    assert view.run.cost_micro_usd == spent["micro_usd"], seed
    (held,) = await platform.rows(
        "SELECT count(*) FROM reservations WHERE run_id = :run_id AND state = 'held'", run_id=run_id
    )
    assert 0 == held["count"], seed
    served = script[: len(platform.provider.requests) - before]
    assert await answers_kept(platform, run_id) == sum(isinstance(each, Answer) for each in served), seed


async def answers_kept(platform: Platform, run_id: str) -> int:
    """Answers among the exchanges of the run, and the turns of agents that ended well, whose output is the answer."""
    rows = await platform.rows("SELECT content FROM step_exchanges WHERE run_id = :run_id", run_id=run_id)
    contents = [json.loads(zlib.decompress(row["content"])) for row in rows]
    (turns,) = await platform.rows(
        "SELECT count(*) FROM steps WHERE run_id = :run_id AND part LIKE 'turn:%' AND state = 'committed'",
        run_id=run_id,
    )
    return sum(len(content.get("answers", ())) for content in contents) + int(turns["count"])
