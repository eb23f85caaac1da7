import pytest

from scl.normalisation import canonical_text, has_invisible


@pytest.mark.parametrize(
    "disguised",
    [
        "ig\u200bno\u200cre\u2060 me",
        "\ufeffignore me",
        "\uff49\uff47\uff4e\uff4f\uff52\uff45 me",
        "ignore\u202e me\u202c",
        "ig\u00adnore me",
        "ignore me\U000e0068\U000e0069",
        "𝐢𝐠𝐧𝐨𝐫𝐞 𝗺𝗲",
        "ignore\u00a0me",
    ],
)
def test_disguises_of_the_same_letters_look_the_same(disguised: str) -> None:
    assert canonical_text(disguised) == "ignore me"


def test_plain_text_is_its_own_canonical_form() -> None:
    assert canonical_text("Plain text,\n\twith 1 tab.") == "Plain text,\n\twith 1 tab."


def test_letters_of_other_scripts_are_kept() -> None:
    assert canonical_text("Größe 東京 Привет") == "Größe 東京 Привет"


@pytest.mark.parametrize(("text", "expected"), [("plain", False), ("Größe", False), ("a\u200bb", True)])
def test_invisible_characters_are_noticed(text: str, expected: bool) -> None:
    assert expected == has_invisible(text)
