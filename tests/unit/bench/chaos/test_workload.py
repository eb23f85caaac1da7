from random import Random

import pytest

from activities.catalog import builtin_functions, builtin_tools
from activities.mcp.mcp_tool import signature_of
from bench.chaos.counting_model import letters, tries_in, without_tries
from bench.chaos.documents import PROMPT, PROMPT_SCHEMA
from bench.chaos.tool_server import SERVER
from bench.chaos.workload import SHAPES, Shape, job, jobs
from runs.signatures import Catalog, StepSignature
from runs.tool_contract import ToolContract
from workflows.dag_compiler import compile_dag
from workflows.dag_document import document_from_data

_PROMPT = StepSignature(
    name=f"{PROMPT}@1", description="", input_schema=PROMPT_SCHEMA, output_schema={"type": "string"}
)
_OF_THE_SERVER = [ToolContract(name=f"mcp:{SERVER}/{name}", description="") for name in ("look", "pay")]
CATALOG = Catalog(
    tools={**builtin_tools(), **{contract.name: signature_of(contract) for contract in _OF_THE_SERVER}},
    functions=builtin_functions(),
    prompts={_PROMPT.name: _PROMPT},
    contracts={contract.name: contract for contract in _OF_THE_SERVER},
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_document_of_every_shape_compiles_and_takes_the_inputs_of_a_job(shape: Shape) -> None:
    plan = compile_dag(document_from_data(shape.document), CATALOG)

    assert plan.inputs_schema is not None
    assert {*job(1, shape).inputs, "service"} == set(plan.inputs_schema["required"])


def test_the_same_seed_gives_the_same_jobs() -> None:
    one, other = ([job.shape.name for job in jobs(Random(3), SHAPES, 50)] for _ in range(2))

    assert one == other


@pytest.mark.parametrize("count", [3, len(SHAPES), 100])
def test_there_are_as_many_jobs_as_are_wanted_and_each_shape_when_there_is_room(count: int) -> None:
    wanted = jobs(Random(3), SHAPES, count)

    assert count == len({job.key for job in wanted})
    assert min(count, len(SHAPES)) <= len({job.shape.name for job in wanted})


def test_no_two_numbers_have_the_same_letters() -> None:
    assert 3_000 == len({letters(number) for number in range(3_000)})


def test_an_answer_tells_its_step_and_which_call_of_it_was_answered() -> None:
    outputs = {"all": ["analyze/3:abcdefghijkl try-bc", {"draft": "draft:abcdefghijkl try-b"}]}

    assert ["analyze/3:abcdefghijkl try-bc", "draft:abcdefghijkl try-b"] == tries_in(outputs)
    assert {"all": ["analyze/3:abcdefghijkl", {"draft": "draft:abcdefghijkl"}]} == without_tries(outputs)
