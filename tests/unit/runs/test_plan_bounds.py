import pytest

from activities.map_payloads import MAX_INLINE_ITEMS
from runs import plan_bounds
from runs.plan_bounds import EVENTS_OF_CHILD, EVENTS_OF_STEP, ModelCalls, NodeBounds, bounds_of
from tests.unit.workflows.sample_catalog import compiled, llm, mapping, node, problems_of, workflow
from workflows import map_run, node_run


def of(*nodes: str) -> plan_bounds.PlanBounds:
    return bounds_of(compiled(workflow(*nodes)))


def one(text: str) -> NodeBounds:
    return of(text).nodes[0]


def function_map(items: int, batch: int) -> str:
    body = "{type: function, config: {function_name: collect, inputs: {}}}"
    return f"- {{id: m, type: map, config: {{over: inputs.list, max_items: {items}, batch: {batch}, body: {body}}}}}\n"


def test_the_bounds_are_those_of_the_interpreter() -> None:
    assert plan_bounds._STEPS_UNDER_WAY == node_run.MAX_STEPS_UNDER_WAY
    assert plan_bounds._SHARD_STEPS == map_run.SHARD_STEPS
    assert plan_bounds._SHARDS_BELOW == map_run.MAX_SHARDS
    assert plan_bounds._INLINE_ITEMS == MAX_INLINE_ITEMS
    assert plan_bounds._FEW_ITEMS == node_run.FEW_ITEMS


def test_a_step_is_one_activity() -> None:
    assert (1, 0, EVENTS_OF_STEP, 1) == (
        one(node("a")).steps, one(node("a")).workflows, one(node("a")).events, one(node("a")).pending
    )  # fmt: skip


@pytest.mark.parametrize(
    ("items", "batch", "strategy", "workflows"),
    [
        (16, 500, "inline", 0),
        (17, 500, "batched", 0),
        (100_000, 500, "batched", 0),
        (100_001, 500, "sharded", 1),
        (200, 1, "inline", 0),
        (201, 1, "sharded", 1),
        (501, 1, "sharded", 2),
        (100_000, 1, "sharded", 200),
        # Shards of shards.
        (100_001, 1, "sharded", 203),
    ],
)
def test_a_map_is_worked_on_as_its_longest_list_needs(items: int, batch: int, strategy: str, workflows: int) -> None:
    bounds = one(function_map(items, batch))

    assert (strategy, workflows, items + 1) == (bounds.strategy, bounds.workflows, bounds.steps)
    assert bounds.events <= 200 * EVENTS_OF_CHILD


def test_a_run_of_many_long_loops_keeps_its_histories_short() -> None:
    loops = [
        f"- {{id: l{n}, type: loop, config: {{max_iterations: 200, "
        "body: {type: function, config: {function_name: collect, inputs: {}}}}}\n"
        for n in range(100)
    ]

    bounds = of(*loops)

    assert 100 * 201 + 2 == bounds.steps
    assert bounds.events < 10_240


def test_model_calls_are_counted_with_their_attempts_in_runs_below_too() -> None:
    inner = "{id: ask, type: llm, retry: {attempts: 3}, config: {prompt_ref: free@1, max_tokens: 50}}"
    body = f"{{type: workflow, config: {{nodes: [{inner}]}}}}"
    each = f"- {{id: m, type: map, config: {{over: inputs.list, max_items: 10, body: {body}}}}}\n"

    bounds = of(llm("a", more=", model: openai/gpt"), each)

    assert {
        ModelCalls(quality="Silver", model="openai/gpt", max_output_tokens=4_096): 4,
        ModelCalls(quality="Silver", model=None, max_output_tokens=50): 30,
    } == bounds.model_calls
    assert 1 + 10 == bounds.workflows


def test_the_longest_history_may_be_that_of_a_shard_or_of_a_run_below() -> None:
    sharded = of(function_map(1_000, 1))
    body = f"{{type: workflow, config: {{nodes: [{node('a').strip().removeprefix('- ')}]}}}}"
    sharded_runs = of(f"- {{id: m, type: map, config: {{over: inputs.list, max_items: 1000, body: {body}}}}}\n")

    assert 3_012 == sharded.events
    assert 166 * EVENTS_OF_CHILD + 12 == sharded_runs.events


def test_branches_and_compensations_may_be_runs_below() -> None:
    body = f"{{type: workflow, config: {{nodes: [{node('a').strip().removeprefix('- ')}]}}}}"
    race = one(f"- {{id: r, type: race, config: {{branches: {{a: {body}, b: {body}}}}}}}\n")
    undone = one(f"- {{id: u, type: function, config: {{function_name: collect}}, compensate: {body}}}\n")

    assert 2 * EVENTS_OF_CHILD + EVENTS_OF_STEP == race.events
    assert EVENTS_OF_STEP + EVENTS_OF_CHILD == undone.events
    assert 1 + (2 + 3) == undone.steps


def test_a_plan_that_may_come_to_more_than_anyone_means_is_refused() -> None:
    inner = mapping("inner", "inputs.list", body="{v: item}").strip().removeprefix("- ")
    body = f"{{type: workflow, config: {{inputs: {{list: inputs.other}}, nodes: [{inner}]}}}}"
    text = workflow(f"- {{id: outer, type: map, config: {{over: inputs.list, body: {body}}}}}\n")

    problem = problems_of(text)[0]

    assert "too_large" == problem.code
    assert "'outer'" in problem.message
    assert "max_items" in problem.message


def test_an_agent_asks_and_calls_as_often_as_it_may() -> None:
    config = "{prompt_ref: free@1, tools: [echo], max_iterations: 5, max_tool_calls: 7, max_tokens: 90}"

    bounds = of(f"- {{id: a, type: agent, retry: {{attempts: 2}}, config: {config}}}\n")

    # Turns, calls, and the answer as the node's own.
    assert (5 + 7 + 1, 7, 13 * EVENTS_OF_STEP) == (
        bounds.nodes[0].steps, bounds.nodes[0].pending, bounds.nodes[0].events
    )  # fmt: skip
    assert {ModelCalls(quality="Silver", model=None, max_output_tokens=90): 10} == bounds.model_calls
