"""A small catalog to compile documents against, and the documents that several tests begin with."""

from collections.abc import Sequence

import pytest

from runs.plan import Plan
from runs.signatures import Catalog, StepSignature
from workflows.dag_compiler import compile_dag
from workflows.dag_document import parse_document
from workflows.errors import SpecInvalid, SpecProblem

_TEXT = {"type": "string"}

_TOOLS = (
    StepSignature(
        name="s3.fetch",
        description="A document from a bucket.",
        input_schema={
            "type": "object",
            "properties": {"bucket": _TEXT, "key": {"type": "string", "minLength": 1}},
            "required": ["bucket", "key"],
            "additionalProperties": False,
        },
        output_schema=None,
    ),
    StepSignature(name="echo", description="Whatever it is given.", input_schema=None, output_schema=None),
)
_FUNCTIONS = (
    StepSignature(
        name="text_splitter",
        description="A text in pieces.",
        input_schema={
            "type": "object",
            "properties": {"text": _TEXT, "max_characters": {"type": "integer", "minimum": 1}},
            "required": ["text"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"chunks": {"type": "array", "items": _TEXT}, "count": {"type": "integer"}},
            "additionalProperties": False,
        },
    ),
    StepSignature(
        name="result_merger",
        description="Results as one text.",
        input_schema={"type": "object", "properties": {"results": {"type": "array"}}, "required": ["results"]},
        output_schema=_TEXT,
    ),
    StepSignature(
        name="now", description="Takes nothing.", input_schema={"additionalProperties": False}, output_schema=_TEXT
    ),
    StepSignature(
        name="collect",
        description="Takes and gives anything.",
        input_schema=None,
        output_schema=None,
        is_reducer=True,
    ),
)
_PROMPTS = (
    StepSignature(
        name="document_analyzer@3",
        description="prompt document_analyzer@3",
        input_schema={
            "type": "object",
            "properties": {
                "content": _TEXT,
                "pages": {"type": "array", "items": {"$ref": "#/$defs/page"}},
                "page": {"$ref": "#/$defs/page"},
                "anything": True,
                "nothing": False,
            },
            "$defs": {"page": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        },
        output_schema=_TEXT,
    ),
    StepSignature(name="free@1", description="prompt free@1", input_schema=None, output_schema=_TEXT),
)

CATALOG = Catalog(
    tools={signature.name: signature for signature in _TOOLS},
    functions={signature.name: signature for signature in _FUNCTIONS},
    prompts={signature.name: signature for signature in _PROMPTS},
    prompt_problems={"document_analyzer@9": "there is no version 9 of 'document_analyzer'; the latest is 3"},
)


def watch_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What jsonschema would fetch for a `$ref` goes into this list instead."""
    fetched: list[object] = []

    def refuse(request: object, *_args: object, **_kwargs: object) -> None:
        fetched.append(request)
        raise OSError

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return fetched


def node(node_id: str, *, inputs: str = "{}", more: str = "", function: str = "collect") -> str:
    """A line of YAML: a function node; `more` begins with a comma."""
    return f"- {{id: {node_id}, type: function, config: {{function_name: {function}, inputs: {inputs}}}{more}}}\n"


def llm(node_id: str, *, inputs: str = "{}", more: str = "", prompt: str = "free@1") -> str:
    """A line of YAML: an llm node; `more` belongs to its configuration and begins with a comma."""
    return f"- {{id: {node_id}, type: llm, config: {{prompt_ref: {prompt}, inputs: {inputs}{more}}}}}\n"


def mapping(node_id: str, over: str, *, kind: str = "map", body: str = "{}", more: str = "") -> str:
    """A line of YAML: a map or reduce node over a function whose inputs are `body`."""
    function = f"{{type: function, config: {{function_name: collect, inputs: {body}}}}}"
    return f"- {{id: {node_id}, type: {kind}, config: {{over: {over}, body: {function}}}{more}}}\n"


def workflow(*nodes: str, head: str = "", edges: Sequence[tuple[str, str]] = ()) -> str:
    """A document of nodes as `node` writes them; `head` stands before them and ends with a line break."""
    lines = "".join(f"- {{from: {source}, to: {target}}}\n" for source, target in edges)
    return f"name: sample\n{head}nodes:\n{''.join(nodes)}" + (f"edges:\n{lines}" if edges else "")


def compiled(text: str) -> Plan:
    """The plan of a document."""
    return compile_dag(parse_document(text), CATALOG)


def problems_of(text: str) -> tuple[SpecProblem, ...]:
    """Everything that is wrong with a document."""
    with pytest.raises(SpecInvalid) as refusal:
        compiled(text)
    return refusal.value.problems


def places_of(text: str) -> list[tuple[str, int | None, str]]:
    """Code, line and path of everything that is wrong with a document."""
    return [(problem.code, problem.line, problem.path) for problem in problems_of(text)]


#: A node that gives {chunks: [text], count: integer}.
SPLIT = node("split", function="text_splitter", inputs="{text: key}")
