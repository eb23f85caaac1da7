from functools import partial

import pytest

from agentflow.digest import Json
from scl.errors import InvalidSchema, SchemaViolation
from scl.schema_validation import MAX_PROBLEMS, check_schema, validate
from tests.counted_work import calls_of

PERSON: Json = {
    "type": "object",
    "required": ["name", "email"],
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "email": {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        "age": {"type": "integer", "minimum": 0},
        "role": {"enum": ["admin", "user"]},
    },
    "additionalProperties": False,
}
PEOPLE: Json = {"type": "object", "properties": {"items": {"type": "array", "items": PERSON}}}


def problems_of(value: Json, schema: Json) -> tuple[str, ...]:
    with pytest.raises(SchemaViolation) as refusal:
        validate(value, schema, where="input of node 'analyze'")
    return refusal.value.problems


def test_a_value_of_the_promised_shape_is_accepted() -> None:
    validate({"items": [{"name": "Jane", "email": "j@example.com", "age": 3}]}, PEOPLE, where="input")


def test_every_fault_is_told_at_once_with_its_path_in_order() -> None:
    items: list[Json] = [{"name": "Jane", "email": "j@example.com"} for _ in range(11)]
    items[10] = {"name": "J", "email": "j@example.com"}
    items[2] = {"name": 7, "role": "owner", "age": -1}

    problems = problems_of({"items": items}, PEOPLE)

    expected = (
        '$.items[2]: lacks the required "email"',
        "$.items[2].age: must satisfy minimum: 0",
        "$.items[2].name: expected string, found integer",
        '$.items[2].role: must satisfy enum: ["admin", "user"]',
        "$.items[10].name: must satisfy minLength: 2",
    )
    assert expected == problems


def test_the_error_says_where_and_why() -> None:
    with pytest.raises(SchemaViolation) as refusal:
        validate(1, {"type": "string"}, where="output of node 'report'")

    assert refusal.value.where == "output of node 'report'"
    assert str(refusal.value) == "output of node 'report' does not match its schema: $: expected string, found integer"


def test_messages_do_not_repeat_the_value() -> None:
    value: Json = {"name": ["secret-name"], "email": "secret-mail", "age": "secret-age", "role": "secret-role"}

    problems = problems_of(value, PERSON)

    assert len(problems) == 4
    assert "secret" not in " ".join(problems)


def test_personal_data_in_names_of_members_is_masked() -> None:
    schema: Json = {"additionalProperties": {"type": "integer"}}

    assert problems_of({"jane@example.com": "x"}, schema) == ('$["(EMAIL)"]: expected integer, found string',)


def test_members_that_are_not_allowed_are_named_masked_and_bounded() -> None:
    value: Json = {"name": "Jane", "email": "j@example.com", "aa": 1, "bob@example.com": 1, "c" * 500: 1, "d": 1}

    (problem,) = problems_of(value, PERSON)

    assert problem.startswith('$: has members that the schema does not allow, such as "aa", "(EMAIL)", "ccc')
    assert len(problem) < 200


def test_a_member_that_a_pattern_allows_is_not_named_as_unknown() -> None:
    schema: Json = {"patternProperties": {"^x-": {}}, "additionalProperties": False}

    (problem,) = problems_of({"x-fine": 1, "zz": 1}, schema)

    assert problem == '$: has members that the schema does not allow, such as "zz"'


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (True, {"type": ["integer", "null"]}, "$: expected integer or null, found boolean"),
        (None, {"type": "object"}, "$: expected object, found null"),
        (1.5, {"type": "integer"}, "$: expected integer, found number"),
        ("x", {"anyOf": [{"type": "null"}, {"type": "integer"}]}, "$: matches none of the 2 schemas of anyOf"),
        (1, {"oneOf": [{"type": "number"}, {"minimum": 0}]}, "$: matches more than one of the 2 schemas of oneOf"),
        (1, False, "$: nothing is allowed here (the schema is false)"),
        ({"a": 1}, {"properties": {"a": False}}, "$.a: nothing is allowed here (the schema is false)"),
        ([1, 1], {"uniqueItems": True}, "$: must satisfy uniqueItems: true"),
        ({"a b": "x"}, {"properties": {"a b": {"type": "null"}}}, '$["a b"]: expected null, found string'),
        ({"": 1}, {"properties": {"": {"type": "null"}}}, '$[""]: expected null, found integer'),
        ([[{"x": 1}]], {"items": {"items": {"required": ["y"]}}}, '$[0][0]: lacks the required "y"'),
    ],
)
def test_each_kind_of_fault_says_what_was_asked_for(value: Json, schema: Json, expected: str) -> None:
    assert problems_of(value, schema) == (expected,)


def test_several_missing_members_are_one_problem() -> None:
    assert problems_of({}, PERSON) == ('$: lacks the required "name", "email"',)


def test_a_flood_of_faults_is_cut_and_counted() -> None:
    problems = problems_of(["x"] * 5_000, {"items": {"type": "integer"}})

    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "and at least 950 more"


def test_long_constraints_are_cut() -> None:
    (problem,) = problems_of("x", {"enum": ["y" * 10_000]})

    assert len(problem) < 200


def test_nesting_without_measure_is_a_violation_and_not_a_crash() -> None:
    value: Json = []
    for _ in range(5_000):
        value = [value]

    problems = problems_of(value, {"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}})

    assert problems == ("$: is nested too deeply, or the schema refers to itself without an end",)


@pytest.mark.parametrize(
    "schema",
    [
        PEOPLE,
        True,
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"$id": "https://example.org/root", "$defs": {"a": {"$anchor": "here"}}, "$ref": "#here"},
        {"properties": {"$ref": {"type": "string"}}},
        {"const": {"$ref": "nowhere"}},
    ],
)
def test_a_usable_schema_is_accepted(schema: Json) -> None:
    check_schema(schema)


def test_many_references_to_one_place_cost_what_their_number_is() -> None:
    def referring(count: int) -> Json:
        return {"properties": {f"p{number}": {"$ref": "#"} for number in range(count)}}

    few, many = [calls_of(partial(check_schema, referring(count))) for count in (50, 200)]

    assert many < 6 * few


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"type": "text"}, "$.type: "),
        ({"properties": {"a": {"minimum": "0"}}}, "$.properties.a.minimum: expected number, found string"),
        ({"required": "name"}, "$.required: expected array, found string"),
        ({"pattern": "("}, "pattern"),
        ([], "expected object or boolean, found array"),
        (
            {"$ref": "https://example.org/other.json"},
            "the reference 'https://example.org/other.json' leads to no schema",
        ),
        ({"items": {"$ref": "#/$defs/missing"}}, "the reference '#/$defs/missing' leads to no schema"),
    ],
)
def test_an_unusable_schema_is_refused_with_the_place(schema: Json, part: str) -> None:
    with pytest.raises(InvalidSchema) as refusal:
        check_schema(schema)

    assert part in " ".join(refusal.value.problems)


@pytest.mark.parametrize("schema", [{"$ref": "https://example.org/x.json"}, {"type": "text"}, {"pattern": "("}])
def test_validating_by_a_schema_that_was_never_checked_fails_as_an_invalid_schema(schema: Json) -> None:
    with pytest.raises(InvalidSchema):
        validate("x", schema, where="input")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://["},
        {"allOf": [{"$ref": "#/allOf/x"}]},
        {"pattern": "a{99999999999999999999}"},
    ],
)
def test_a_reference_or_pattern_that_cannot_be_used_is_refused_as_a_schema(schema: Json) -> None:
    with pytest.raises(InvalidSchema):
        check_schema(schema)
