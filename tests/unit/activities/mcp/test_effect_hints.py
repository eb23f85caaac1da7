import pytest
from mcp_types import ToolAnnotations

from activities.mcp.effect_hints import effect_class


@pytest.mark.parametrize(
    ("annotations", "effect"),
    [
        (None, "at_most_once"),
        (ToolAnnotations(), "at_most_once"),
        (ToolAnnotations(destructive_hint=False), "at_most_once"),
        (ToolAnnotations(read_only_hint=True), "pure"),
        (ToolAnnotations(idempotent_hint=True), "idempotent"),
        (ToolAnnotations(read_only_hint=False, idempotent_hint=True), "idempotent"),
    ],
)
def test_a_tool_that_says_nothing_is_taken_for_one_that_must_not_be_repeated(
    annotations: ToolAnnotations | None, effect: str
) -> None:
    assert effect == effect_class(annotations)
