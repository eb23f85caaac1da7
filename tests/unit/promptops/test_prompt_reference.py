import pytest

from promptops.errors import InvalidPromptName, InvalidPromptReference
from promptops.models import PromptReference
from promptops.prompt_reference import check_prompt_name, parse_prompt_reference


@pytest.mark.parametrize(
    ("reference", "parsed"),
    [
        ("document_analyzer@3", PromptReference(name="document_analyzer", version=3)),
        ("document_analyzer@stable", PromptReference(name="document_analyzer", label="stable")),
        ("document_analyzer", PromptReference(name="document_analyzer")),
        ("team.Greeting-2@999999999", PromptReference(name="team.Greeting-2", version=999_999_999)),
    ],
)
def test_a_reference_names_a_version_or_a_label_or_neither(reference: str, parsed: PromptReference) -> None:
    assert parsed == parse_prompt_reference(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "@3",
        "a@",
        "a@0",
        "a@-1",
        "a@03",
        "a@3.0",
        "a@1234567890",
        "a@٣",
        "a b@3",
        "a@3 ",
        "a@st able",
        "1a@3",
        "ä@3",
    ],
)
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(InvalidPromptReference) as refusal:
        parse_prompt_reference(reference)

    assert reference == refusal.value.reference


@pytest.mark.parametrize("reference", ["a@3@stable", "a@stable@3", "a@3@3"])
def test_a_label_together_with_a_version_is_refused(reference: str) -> None:
    with pytest.raises(InvalidPromptReference, match="more than one version or label"):
        parse_prompt_reference(reference)


@pytest.mark.parametrize("name", ["a", "document_analyzer", "A.b-c_9", "a" * 128])
def test_names_that_prompts_can_have(name: str) -> None:
    check_prompt_name(name)


@pytest.mark.parametrize("name", ["", "9a", "a@1", "a/b", "a b", "a\n", "a" * 129, "é", "a\x00"])
def test_names_that_prompts_cannot_have(name: str) -> None:
    with pytest.raises(InvalidPromptName):
        check_prompt_name(name)
