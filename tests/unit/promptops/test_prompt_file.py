import pytest

from promptops.errors import PromptFileInvalid
from promptops.models import PromptDraft
from promptops.prompt_file import MAX_FILE_BYTES, parse_prompt_file

FILE = """\
# What the demo asks of each page.
name: document_analyzer
template: |
  {% message "system" %}Be brief.{% endmessage %}
  {% message "user" %}Analyze: {{ content }}{% endmessage %}
schema:
  type: object
  required: [content]
  properties:
    content: {type: string, minLength: 1}
    temperature: {type: number, default: 0.5, nullable: true, examples: [null]}
"""


def test_a_file_gives_its_name_template_and_schema() -> None:
    assert parse_prompt_file(FILE) == PromptDraft(
        name="document_analyzer",
        template=(
            '{% message "system" %}Be brief.{% endmessage %}\n'
            '{% message "user" %}Analyze: {{ content }}{% endmessage %}\n'
        ),
        input_schema={
            "type": "object",
            "required": ["content"],
            "properties": {
                "content": {"type": "string", "minLength": 1},
                "temperature": {"type": "number", "default": 0.5, "nullable": True, "examples": [None]},
            },
        },
    )


def test_the_schema_may_be_left_out() -> None:
    assert PromptDraft(name="a", template="b", input_schema=None) == parse_prompt_file("name: a\ntemplate: b\n")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "must be a mapping"),
        ("- a", 1, "must be a mapping"),
        ("name: a", None, "`template` must be there"),
        ("name: 3\ntemplate: b", 1, "`name` must be there, and be text"),
        ("name: a\ntemplate: b\nschema: text", 3, "`schema` must be a mapping"),
        ("name: a\ntemplate: b\ninputs: {}", 3, "'inputs' is not known"),
        ("name: a\ntemplate: b\nname: c", 3, "'name' stands twice"),
        ("name: a\ntemplate: b\nschema:\n  const: 2024-01-01", 4, "not one that JSON can say"),
        ("name: a\ntemplate: b\nschema:\n  yes: 1", 4, "a key is not text"),
        ("name: a\ntemplate: b\nschema:\n  ? [a]\n  : 1", 4, "a key is not text"),
        ("name: a\ntemplate: b\nschema:\n  a: !!python/object/apply:os.system [ls]", 4, "not one that JSON can say"),
        ("name: a\ntemplate: b\nschema:\n  a: &x [1]\n  b: *x", 5, "aliases"),
        ("name: a\ntemplate: b\nschema:\n  <<: {a: 1}", 4, "a key is not text"),
        ("name: a\ntemplate: [b", 2, "expected ',' or ']'"),
        ("name: a\n\ttemplate: b", 2, "cannot start any token"),
        ("name: a\ntemplate: b\n---\nname: c", 3, "another document"),
        ("name: a\ntemplate: b\x07", 2, "a character that YAML does not allow"),
        ("name: a\ntemplate: " + "[" * 3_000, None, "nested too deep"),
        ("name: a\ntemplate: b\nschema:\n  const: " + "9" * 5_000, 4, "a number cannot be read"),
        ("x" * (MAX_FILE_BYTES + 1), None, "more than 1,048,576 bytes"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(PromptFileInvalid) as refusal:
        parse_prompt_file(text)

    assert line == refusal.value.line
    assert reason in refusal.value.reason
