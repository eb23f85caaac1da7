from typing import Any

import pytest

from runs.expressions import Reference
from runs.plan import Binding
from runs.signatures import StepSignature
from tests.unit.workflows.sample_catalog import CATALOG, watch_network
from workflows.dag_bindings import BindingReader, Scope
from workflows.dag_document import Document
from workflows.dag_graph import MAX_HINTS, did_you_mean
from workflows.errors import SpecProblem

SPLITTER = CATALOG.functions["text_splitter"]
ANALYZER = CATALOG.prompts["document_analyzer@3"]

SCOPE = Scope(
    nodes={"split": True, "fetch": True, "later": False},
    outputs={"split": SPLITTER.output_schema, "fetch": None},
    inputs_schema={
        "type": "object",
        "properties": {"key": {"type": "string"}, "limit": {"type": "integer"}, "split": {"type": "boolean"}},
    },
    local={"item": {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}},
)
NODE_FIELDS = "a node has `output`, `status`, `finish_reason` and `error`; write split.output"
NOT_UPSTREAM = "'later' cannot have ended before this node begins: it is the node itself, or comes later"
QUOTES = "for a fixed text write it in quotes inside the quotes: \"'kee'\""
OPEN_SCOPE = Scope(nodes={}, outputs={}, inputs_schema=None, local={})


class Reading:
    """A reader and what it found."""

    def __init__(self) -> None:
        self.problems: list[SpecProblem] = []
        self.reader = BindingReader(Document(data={}, marks={}), self.problems)

    @property
    def codes(self) -> list[str]:
        return [problem.code for problem in self.problems]

    def bind(self, value: Any, scope: Scope = SCOPE, *, texts_are_expressions: bool = True) -> Binding:
        return self.reader.binding(value, scope, ("v",), texts_are_expressions=texts_are_expressions)

    def call(
        self, signature: StepSignature, values: dict[str, Any], *, texts_are_expressions: bool = True
    ) -> list[str]:
        """Holds arguments against a signature; `path: message` of what is wrong."""
        bindings = self.reader.arguments(values, SCOPE, (), texts_are_expressions=texts_are_expressions)
        self.reader.check_call(signature, bindings, SCOPE, ())
        return [str(problem) for problem in self.problems]


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_a_text_is_an_expression_where_texts_are_expressions(reading: Reading) -> None:
    assert Binding(kind="expression", source="fetch.output.text") == reading.bind(" fetch.output.text ")
    assert Binding(kind="literal", value="fetch.output") == reading.bind("fetch.output", texts_are_expressions=False)


@pytest.mark.parametrize("texts_are_expressions", [True, False])
def test_a_text_with_braces_is_a_template_everywhere(reading: Reading, *, texts_are_expressions: bool) -> None:
    bound = reading.bind("s3://{{ key }}/{{fetch.output}}", texts_are_expressions=texts_are_expressions)

    assert Binding(kind="template", source="s3://{{ key }}/{{fetch.output}}") == bound
    assert ["key"] == list(reading.reader.inputs_used)


@pytest.mark.parametrize("value", [5, -0.5, True, None, "", [], {}, [1, [2, {"a": None}]], {"a": {"b": ["x"]}}])
def test_what_holds_no_expression_is_one_literal_whatever_its_shape(reading: Reading, value: Any) -> None:
    assert Binding(kind="literal", value=value) == reading.bind(value, texts_are_expressions=False)


def test_a_list_of_many_numbers_does_not_become_many_bindings(reading: Reading) -> None:
    assert {} == reading.bind([1] * 10_000).members


def test_expressions_deep_inside_are_bound_where_they_stand(reading: Reading) -> None:
    bound = reading.bind({"a": [1, "fetch.output", {"b": "{{key}}"}], "c": [2]})

    expression = Binding(kind="expression", source="fetch.output")
    template = Binding(kind="literal", shape="mapping", members={"b": Binding(kind="template", source="{{key}}")})
    one = Binding(kind="literal", value=1)
    inner = Binding(kind="literal", shape="list", members={"0": one, "1": expression, "2": template})
    two = Binding(kind="literal", value=[2])
    assert Binding(kind="literal", shape="mapping", members={"a": inner, "c": two}) == bound


@pytest.mark.parametrize(
    "source",
    [
        "split.output", "split.output.chunks", "split.output.chunks[0]", "split.status", "fetch.output.any.thing[3].x",
        "inputs", "inputs.key", "key", "limit", "item", "item.n", "size(split.output.chunks) > limit",
        "fetch.output.exists(p, p.size > 3)", "inputs.split", "'split.nothing'",
    ],
)  # fmt: skip
def test_what_can_have_a_value_is_accepted(reading: Reading, source: str) -> None:
    reading.bind(source)

    assert [] == reading.problems


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("later.output", "not_upstream", NOT_UPSTREAM),
        ("later.status", "not_upstream", NOT_UPSTREAM),
        ("split", "unknown_field", NODE_FIELDS),
        ("split.chunks", "unknown_field", NODE_FIELDS),
        ("split.output.chunk", "unknown_field", "'split.output.chunk': a value of type object has no 'chunk'"),
        ("split.output.chunks.x", "unknown_field", "'split.output.chunks.x': a value of type array has no 'x'"),
        ("split.output.count.x", "unknown_field", "'split.output.count.x': a value of type integer has no 'x'"),
        ("splitt.output", "unknown_node", "there is no node 'splitt'; did you mean 'split'?"),
        ("x.status", "unknown_node", "there is no node 'x'; there is 'fetch', 'later', 'split'"),
        ("kee", "unknown_reference", f"'kee' is neither a node nor an input; {QUOTES}; did you mean 'key'?"),
        ("inputs.kee", "unknown_reference", "'kee' is neither a node nor an input; did you mean 'key'?"),
        ("key.length", "unknown_field", "'key.length': a value of type string has no 'length'"),
        ("item.m", "unknown_field", "'item.m': a value of type object has no 'm'"),
    ],
)  # fmt: skip
def test_what_cannot_have_a_value_is_told(reading: Reading, source: str, code: str, message: str) -> None:
    reading.bind(f"size({source}) > 1" if "." in source else source)

    assert [(code, message)] == [(problem.code, problem.message) for problem in reading.problems]


@pytest.mark.parametrize("source", ["", "  ", "a +", "(", "'x", "a b", "1 ++", "a.b.", "$x", "é", "a" * 5_000, "if.x"])
def test_what_is_no_expression_is_told_with_what_to_do(reading: Reading, source: str) -> None:
    reading.bind(source)

    assert ["invalid_expression"] == reading.codes
    assert "for a fixed text write it in quotes inside the quotes" in reading.problems[0].message


@pytest.mark.parametrize("depth", [500, 1_000, 2_000])
@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("[", "]"), ("[1].map(x,", ")"), ("x[", "]")])
def test_an_expression_nested_without_measure_is_refused_and_not_a_crash(
    reading: Reading, opening: str, closing: str, depth: int
) -> None:
    reading.bind(opening * depth + "1" + closing * depth)

    assert ["invalid_expression"] == reading.codes


@pytest.mark.parametrize("source", ["{{", "{{}}", "{{ a + }}", "x {{ a }} {{", "{{{a}}", "{{ {{a}} }}"])
def test_a_template_that_does_not_parse_is_told(reading: Reading, source: str) -> None:
    reading.bind(source, OPEN_SCOPE)

    assert ["invalid_expression"] == reading.codes


def test_references_of_templates_are_held_against_what_is_there(reading: Reading) -> None:
    reading.bind("{{ later.output }} and {{ kee }} and {{ split.output.count }}")

    assert ["not_upstream", "unknown_reference"] == reading.codes


def test_inputs_that_expressions_name_are_noted_once_in_order_and_nodes_are_not(reading: Reading) -> None:
    scope = Scope(nodes={"a": True}, outputs={}, inputs_schema=None, local={"item": None})

    for source in ("z.y", "inputs.b.c", "a.output", "z", "item.x", "{{ c }}"):
        reading.bind(source, scope)

    assert ["z", "b", "c"] == list(reading.reader.inputs_used)


def test_a_node_goes_before_an_input_of_the_same_name(reading: Reading) -> None:
    assert SPLITTER.output_schema == reading.reader.schema_of(Reference(root="split", path=("output",)), SCOPE)
    assert {"type": "boolean"} == reading.reader.schema_of(Reference(root="inputs", path=("split",)), SCOPE)


@pytest.mark.parametrize(
    ("root", "path", "schema"),
    [
        ("split", ("status",), {"type": "string"}),
        ("split", ("output", "count"), {"type": "integer"}),
        ("split", ("output", "chunks", "0"), {"type": "string"}),
        ("fetch", ("output", "x"), None),
        ("key", (), {"type": "string"}),
        ("inputs", ("limit",), {"type": "integer"}),
        ("item", ("n",), {"type": "integer"}),
    ],
)
def test_the_schema_of_a_reference_is_that_of_its_value(
    reading: Reading, root: str, path: tuple[str, ...], schema: dict[str, Any] | None
) -> None:
    assert schema == reading.reader.schema_of(Reference(root=root, path=path), SCOPE)


def test_the_inputs_as_a_whole_are_an_object_though_no_schema_says_so(reading: Reading) -> None:
    assert {"type": "object"} == reading.reader.schema_of(Reference(root="inputs", path=()), OPEN_SCOPE)
    assert reading.reader.schema_of(Reference(root="anything", path=("a",)), OPEN_SCOPE) is None


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"text": "'fixed'"}, []),
        ({"text": "key", "max_characters": 5}, []),
        ({"text": "fetch.output"}, []),
        ({"text": "split.output.chunks[0]", "max_characters": "split.output.count"}, []),
        ({"text": "{{ split.output.count }} pieces"}, []),
        ({}, ["$: 'text_splitter' needs the argument 'text'"]),
        ({"text": "key", "txt": 5}, ["$.txt: 'text_splitter' takes no argument 'txt'; did you mean 'text'?"]),
        ({"text": 5}, ["$.text: expected string, found integer"]),
        ({"text": None}, ["$.text: expected string, found null"]),
        ({"text": ["key"]}, ["$.text: this is of type array; string is needed"]),
        ({"text": [1]}, ["$.text: expected string, found array"]),
        ({"text": {"a": "key"}}, ["$.text: this is of type object; string is needed"]),
        ({"text": "split.output"}, ["$.text: this is of type object; string is needed"]),
        ({"text": "{{ split.output.count }}"}, ["$.text: this is of type integer; string is needed"]),
        ({"text": "limit"}, ["$.text: this is of type integer; string is needed"]),
        ({"text": "key", "max_characters": 0}, ["$.max_characters: must satisfy minimum: 1"]),
        ({"text": "key", "max_characters": -7}, ["$.max_characters: must satisfy minimum: 1"]),
        ({"text": "key", "max_characters": 1.5}, ["$.max_characters: expected integer, found number"]),
        ({"text": "key", "max_characters": True}, ["$.max_characters: expected integer, found boolean"]),
        ({"text": "key", "max_characters": "key"}, ["$.max_characters: this is of type string; integer is needed"]),
        ({"text": "split.status", "max_characters": "item.n"}, []),
    ],
)  # fmt: skip
def test_arguments_are_held_against_the_signature(
    reading: Reading, values: dict[str, Any], problems: list[str]
) -> None:
    assert problems == reading.call(SPLITTER, values)


def test_everything_wrong_with_a_call_is_told_at_once(reading: Reading) -> None:
    assert 3 == len(reading.call(SPLITTER, {"max_characters": 0, "foo": 1}))


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"page": {"n": 1}}, []),
        ({"page": {"n": 1.5}}, ["$.page: $.n: expected integer, found number"]),
        ({"pages": [{"n": 1}, {}]}, ['$.pages: $[1]: lacks the required "n"']),
        ({"page": "split.output"}, []),
        ({"anything": [1]}, []),
        ({"anything": "key"}, []),
        ({"nothing": 5}, ["$.nothing: nothing is allowed here (the schema is false)"]),
        ({"nothing": "key"}, []),
        ({"extra": 5}, []),
    ],
)
def test_a_prompts_schema_may_refer_to_itself_and_say_true_or_false(
    reading: Reading, values: dict[str, Any], problems: list[str]
) -> None:
    assert problems == reading.call(ANALYZER, values)


@pytest.mark.parametrize(
    "wanted",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "http://["},
        {"pattern": "("},
        {"pattern": "a{99999999999999999999}"},
        {"type": "text"},
    ],
)
def test_a_schema_that_cannot_be_used_passes_here_and_nothing_is_fetched(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    fetched = watch_network(monkeypatch)
    signature = StepSignature(
        name="odd", description="", input_schema={"properties": {"v": wanted}}, output_schema=None
    )

    assert [] == reading.call(signature, {"v": "a text"}, texts_are_expressions=False)
    assert [] == fetched


def test_what_takes_nothing_refuses_any_argument(reading: Reading) -> None:
    assert ["$.x: 'now' takes no argument 'x'"] == reading.call(CATALOG.functions["now"], {"x": 1})


def test_an_argument_that_a_pattern_allows_is_taken(reading: Reading) -> None:
    schema = {"properties": {"a": {}}, "patternProperties": {"^x_": {}}, "additionalProperties": False}
    signature = StepSignature(name="open", description="", input_schema=schema, output_schema=None)

    assert [] == reading.call(signature, {"x_1": 1})


def test_what_has_no_signature_takes_anything(reading: Reading) -> None:
    assert [] == reading.call(CATALOG.tools["echo"], {"a": 1, "b c": [None]})


def test_a_literal_of_many_faults_does_not_flood_the_report(reading: Reading) -> None:
    schema = {"properties": {"v": {"items": {"type": "string"}}}}
    signature = StepSignature(name="texts", description="", input_schema=schema, output_schema=None)

    problems = reading.call(signature, {"v": [1] * 5_000})

    assert "$.v: and at least 50 more" == problems[-1]


def test_hints_are_given_while_anyone_reads_them(reading: Reading) -> None:
    scope = Scope(nodes={"split": True}, outputs={}, inputs_schema=None, local={})

    for _ in range(MAX_HINTS + 1):
        reading.bind("splitt.output", scope)

    hint = did_you_mean("splitt", ["split"])
    assert reading.problems[MAX_HINTS - 1].message.endswith(hint)
    assert not reading.problems[MAX_HINTS].message.endswith(hint)
