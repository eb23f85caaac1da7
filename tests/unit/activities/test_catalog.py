from pathlib import Path
from typing import Any

import pytest

from activities.catalog import FUNCTIONS, TOOLS, builtin_functions, builtin_tools
from runs.signatures import StepSignature
from scl.schema_validation import check_schema, validate
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.pdf_files import page_saying

SIGNATURES = {**builtin_tools(), **builtin_functions()}
BUILT_IN_TOOLS = [
    "document.csv",
    "document.extract_text",
    "document.json",
    "document.json_lines",
    "file.read",
    "http.request",
    "records.get",
    "records.put",
    "s3.fetch",
]
SMALL_CALLS: dict[str, dict[str, Any]] = {
    "text_splitter": {"text": "# One\nWords. " * 20, "max_characters": 50},
    "result_merger": {"results": [{"a": 1}, None], "separator": ""},
    "json_projection": {"anything": [1, {"nested": None}]},
    "report_builder": {"title": "T", "sections": [{"heading": "H", "body": ["a", "b"]}, {"heading": "I", "body": ""}]},
}


def test_every_tool_and_function_stands_under_the_name_of_its_signature() -> None:
    assert BUILT_IN_TOOLS == sorted(TOOLS)
    assert ["json_projection", "report_builder", "result_merger", "text_splitter"] == sorted(FUNCTIONS)
    assert {name: name for name in SIGNATURES} == {name: entry.name for name, entry in SIGNATURES.items()}
    assert len(TOOLS) + len(FUNCTIONS) == len(SIGNATURES)


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=list(SIGNATURES))
def test_every_schema_is_valid_and_arguments_are_an_object(signature: StepSignature) -> None:
    arguments: Any = signature.input_schema
    output: Any = signature.output_schema

    check_schema(arguments)
    check_schema(output if output is not None else {})

    assert "object" == arguments["type"]
    assert set(arguments.get("required", ())) <= set(arguments.get("properties", ()))
    assert signature.description.endswith(".")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_output_fits_its_own_schema(name: str) -> None:
    function, arguments = FUNCTIONS[name], SMALL_CALLS[name]
    input_schema: Any = function.signature.input_schema
    output_schema: Any = function.signature.output_schema

    validate(arguments, input_schema, where="input")
    output = function.call(arguments)

    validate(output, output_schema, where="output")
    assert output == function.call(arguments)


async def test_the_tools_outputs_fit_their_schemas_and_one_anothers(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(page_saying("fits"))
    context = BucketContext({"d": tmp_path})
    fetch, extract = TOOLS["s3.fetch"], TOOLS["document.extract_text"]
    input_schema: Any = extract.signature.input_schema
    output_schema: Any = extract.signature.output_schema

    document = await fetch.call(context, {"bucket": "d", "key": "a.pdf", "as": "document"})
    validate({"document": document}, input_schema, where="input")
    output = await extract.call(context, {"document": document})

    validate(output, output_schema, where="output")
    assert fetch.signature.output_schema is None
