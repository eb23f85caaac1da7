import pytest

from agentflow.digest import Json
from promptops.errors import InputSchemaInvalid
from promptops.input_schema import MAX_SCHEMA_BYTES, InputSchema, check_input_schema, undeclared_variables
from promptops.models import InputProblem

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "content": {"type": "string", "minLength": 3},
        "pages": {"type": "array", "items": {"$ref": "#/$defs/page"}},
    },
    "required": ["content", "pages"],
    "additionalProperties": False,
    "$defs": {"page": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}


def test_a_schema_may_name_itself_and_refer_to_its_anchors() -> None:
    schema: dict[str, Json] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/schema.json",
        "properties": {"a": {"$ref": "#word"}, "b": {"$ref": "#/$defs/word"}},
        "$defs": {"word": {"$anchor": "word", "type": "string"}},
    }

    check_input_schema(schema)

    assert InputSchema(schema).problems({"a": "x", "b": 1}) == (
        InputProblem(path="$.b", reason="must be of type string"),
    )


def test_inputs_that_fit_have_no_problems() -> None:
    check_input_schema(SCHEMA)

    assert InputSchema(SCHEMA).problems({"content": "abc", "pages": [{"n": 1}]}) == ()


def test_all_problems_are_told_at_once_with_their_paths() -> None:
    problems = InputSchema(SCHEMA).problems({"content": "ab", "pages": [{"n": 1}, {"n": "x"}, {}], "odd key": 1})

    assert problems == (
        InputProblem(path="$.content", reason="must satisfy minLength 3"),
        InputProblem(path="$.pages[1].n", reason="must be of type integer"),
        InputProblem(path="$.pages[2].n", reason="is required"),
        InputProblem(path="$['odd key']", reason="is not a property that the schema lists"),
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "integer"},
        {"enum": ["a", "b"]},
        {"const": 1},
        {"pattern": "^x$"},
        {"maxLength": 2},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "integer"}, {"maxLength": 2}]},
        {"oneOf": [{"type": "integer"}, {"maxLength": 2}]},
        {"allOf": [{"type": "integer"}]},
        {"if": {"type": "string"}, "then": False},
    ],
)
def test_no_problem_quotes_a_value(rule: dict[str, Json]) -> None:
    schema: dict[str, Json] = {"properties": {"secret": rule}}

    problems = InputSchema(schema).problems({"secret": "hunter2-hunter2"})

    assert problems
    assert "hunter2" not in repr(problems)


def test_problems_without_number_are_cut_off() -> None:
    schema: dict[str, Json] = {"properties": {"numbers": {"items": {"type": "integer"}}}}

    assert len(InputSchema(schema).problems({"numbers": ["x"] * 5_000})) == 100


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strin"}, "$.type"),
        ({"type": "string"}, "$.type"),
        ({"properties": {"a": {"minLength": -1}}}, "$.properties.a.minLength"),
        ({"properties": {"a": {"pattern": "("}}}, "$.properties.a.pattern"),
        ({"properties": {"a": {"$ref": "https://example.com/schema.json"}}}, "$.properties.a['$ref']"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "$.properties.a['$ref']"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "$.properties.a['$ref']"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$['$schema']"),
        ({"$id": "https://a.example/", "properties": {"a": {"$id": "b", "$ref": "#"}}}, "$.properties.a['$id']"),
        ({"title": "a\x00b"}, "$.title"),
        ({"title": "\ud800"}, "$.title"),
        ({"const": float("nan")}, "$"),
        ({"title": "x" * MAX_SCHEMA_BYTES}, "$"),
    ],
)
def test_schemas_that_inputs_cannot_be_checked_against_are_refused(schema: dict[str, Json], path: str) -> None:
    with pytest.raises(InputSchemaInvalid) as refusal:
        check_input_schema(schema)

    assert path == refusal.value.path


def test_a_schema_nested_without_measure_is_refused() -> None:
    schema: dict[str, Json] = {}
    for _ in range(5_000):
        schema = {"not": schema}

    with pytest.raises(InputSchemaInvalid):
        check_input_schema(schema)


def test_a_schema_that_refers_to_itself_for_ever_refuses_its_inputs() -> None:
    problems = InputSchema({"$ref": "#"}).problems({"a": 1})

    assert (InputProblem(path="$", reason="sends the schema into endless references to itself"),) == problems


def test_a_remote_reference_in_a_stored_schema_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("urllib.request.urlopen", refuse)

    with pytest.raises(InputSchemaInvalid, match=r"reference 'https://example\.com/schema\.json' leads nowhere"):
        InputSchema({"properties": {"a": {"$ref": "https://example.com/schema.json"}}})


@pytest.mark.parametrize(
    ("schema", "undeclared"),
    [
        ({}, set()),
        ({"type": "object"}, set()),
        ({"properties": {"a": {}}}, {"b"}),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b"}),
        ({"additionalProperties": False}, {"a", "b"}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, set()),
        ({"properties": {"a": {}}, "patternProperties": {"^b": {}}}, set()),
        ({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}, set()),
    ],
)
def test_a_variable_is_undeclared_when_the_schema_lists_its_properties_without_it(
    schema: dict[str, Json], undeclared: set[str]
) -> None:
    assert undeclared == undeclared_variables(schema, frozenset({"a", "b"}))


@pytest.mark.parametrize(
    "part",
    [{"$ref": "http://["}, {"allOf": [{"$ref": "#/allOf/x"}]}, {"pattern": "a{99999999999999999999}"}],
)
def test_a_reference_or_pattern_that_cannot_be_used_is_refused_as_an_input_schema(part: Json) -> None:
    with pytest.raises(InputSchemaInvalid):
        check_input_schema({"type": "object", "properties": {"content": part}})
