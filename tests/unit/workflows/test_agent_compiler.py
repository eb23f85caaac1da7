from dataclasses import replace

import pytest

from runs.agent_plan import AgentPlan
from runs.plan import Fact, Plan
from runs.signatures import StepSignature
from runs.tool_contract import ToolContract
from tests.unit.workflows.sample_catalog import CATALOG, SPLIT, compiled, node, places_of, workflow
from workflows.dag_compiler import compile_dag
from workflows.dag_document import parse_document


def agent(tools: str = "[s3.fetch]", more: str = "", options: str = "") -> str:
    config = f"{{prompt_ref: document_analyzer@3, inputs: {{content: \"'x'\"}}, tools: {tools}{more}}}"
    return f"- {{id: a, type: agent, config: {config}{options}}}\n"


def compiled_with(text: str, *names: str) -> Plan:
    signatures = {
        name: StepSignature(name=name, description=f"does {name}", input_schema=None, output_schema=None)
        for name in names
    }
    contracts = {name: ToolContract(name=name, description="") for name in names}
    catalog = replace(
        CATALOG,
        tools={**CATALOG.tools, **signatures},
        contracts=contracts,
        tool_problems={"mcp:away/x": "mcp server 'away' does not answer: it took too long"},
    )
    return compile_dag(parse_document(text), catalog)


def plan_of(text: str, *names: str) -> AgentPlan:
    found = compiled_with(text, *names).node("a").agent
    assert found is not None
    return found


def test_an_agent_asks_a_prompt_with_tools_that_keep_their_schema() -> None:
    plan = compiled(workflow(agent()))

    node = plan.node("a")
    assert ("agent", "document_analyzer@3") == (node.leaf.kind, node.leaf.target)
    assert node.agent is not None
    (tool,) = node.agent.tools
    assert ("s3.fetch", "s3_fetch", "A document from a bucket.") == (tool.name, tool.call_name, tool.description)
    assert ["bucket", "key"] == tool.parameters["required"]
    assert tool.contract is None


def test_what_an_agent_may_do_is_bounded_by_default() -> None:
    plan = plan_of(workflow(agent()))

    assert (8, 32, None, None) == (
        plan.max_iterations,
        plan.max_tool_calls,
        plan.token_budget,
        plan.budget_micro_usd,
    )
    assert (True, "fail", "tell") == (plan.parallel_tools, plan.on_exhausted, plan.on_tool_error)


def test_tools_of_servers_get_names_that_vendors_allow_each_its_own() -> None:
    names = ("mcp:a/b.c", "mcp:a/b_c", "mcp:a/" + "x" * 80, "mcp:a/" + "x" * 80 + "y")

    tools = plan_of(workflow(agent(f"[{', '.join(names)}]")), *names).tools

    assert ["a_b_c", "a_b_c_2"] == [tool.call_name for tool in tools[:2]]
    assert [64, 64] == [len(tool.call_name) for tool in tools[2:]]
    assert 4 == len({tool.call_name for tool in tools})
    assert [{"type": "object"}] * 4 == [tool.parameters for tool in tools]
    assert list(names) == [tool.contract.name for tool in tools if tool.contract is not None]


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ("[s3.fetc]", ("unknown_tool", 3, "$.nodes[0].config.tools[0]")),
        ("[s3.fetch, s3.fetch]", ("wrong_type", 3, "$.nodes[0].config")),
    ],
)
def test_a_tool_that_is_not_there_or_twice_is_told_where_it_stands(tools: str, problem: tuple[str, int, str]) -> None:
    assert [problem] == places_of(workflow(agent(tools)))


@pytest.mark.parametrize(
    "option",
    ["max_iterations: 0", "max_iterations: 51", "token_budget: 0", "on_exhausted: stop", "on_tool_error: skip"],
)
def test_an_option_that_cannot_be_is_told(option: str) -> None:
    (place,) = places_of(workflow(agent(more=f", {option}")))

    assert f"$.nodes[0].config.{option.partition(':')[0]}" == place[2]


def test_a_server_that_does_not_answer_is_the_problem() -> None:
    from workflows.errors import SpecInvalid

    with pytest.raises(SpecInvalid) as refusal:
        compiled_with(workflow(agent("['mcp:away/x']")))

    assert "mcp server 'away' does not answer" in refusal.value.problems[0].message


def test_an_agent_gives_a_text_or_what_its_schema_says() -> None:
    schema = "{type: object, properties: {ok: {type: boolean}}, additionalProperties: false}"
    good = workflow(agent(more=f", output_schema: {schema}"), node("b", more=", depends: [a], when: a.output.ok"))
    bad = workflow(agent(), node("b", more=", depends: [a], when: a.output.ok"))

    assert (Fact(path=("ok",), kind="value"),) == compiled(good).node("a").facts
    assert ["unknown_field"] == [code for code, _, _ in places_of(bad)]


def test_an_agent_reads_what_its_inputs_name() -> None:
    text = workflow(SPLIT, agent(options=", depends: [split]").replace("\"'x'\"", '"split.output.chunks[0]"'))

    assert ("split",) == compiled(text).node("a").leaf.reads
