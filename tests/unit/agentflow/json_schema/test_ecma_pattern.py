"""What patterns of schemas match, by ECMA-262 with its `u` flag; the expected is written from the standard."""

import pytest

from agentflow.json_schema.ecma_pattern import registered_pattern, schema_pattern
from agentflow.linear_pattern import PatternRefused

#: WhiteSpace and LineTerminator (12.2, 12.3): TAB, LF, VT, FF, CR, every Zs, LS, PS, ZWNBSP.
_SPACES = "\t\n\v\f\r \u00a0\u1680\u2000\u2005\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_NO_SPACES = "a_0-\x00\x08\x0e\x1f\x85\u180e\u200b\u2060\ud7ff\ufffd\U0001f600"


@pytest.mark.parametrize("pattern", [r"^\s$", r"^[\s]$", r"^[^\S]$", r"^[x\s]$", r"^[\s-]$", r"^[#-\s]$", r"^[\s-#]$"])
@pytest.mark.parametrize("space", _SPACES)
def test_every_white_space_and_line_terminator_is_a_space(pattern: str, space: str) -> None:
    assert registered_pattern(pattern).is_found_in(space)


@pytest.mark.parametrize("pattern", [r"^\S$", r"^[\S]$", r"^[^\s]$", r"^[\S\t]$"])
@pytest.mark.parametrize("other", _NO_SPACES)
def test_nothing_else_is_a_space(pattern: str, other: str) -> None:
    assert registered_pattern(pattern).is_found_in(other)
    assert not registered_pattern(pattern).is_found_in("\u2003")
    assert not registered_pattern(r"^\s$").is_found_in(other)


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        # `.` is any character but a LineTerminator.
        ("^.$", "\n", False),
        ("^.$", "\r", False),
        ("^.$", "\u2028", False),
        ("^.$", "\u2029", False),
        ("^.$", "\x85", True),
        ("^.$", "\U0001f600", True),
        ("^[.]$", "a", False),
        (r"^\.$", "a", False),
        ("(?s)^.$", "\r", True),
        (r"^\(?s.$", "s\u2028", False),
        # Without the flag `m`, `^` and `$` are the ends of the text.
        ("a$", "a\n", False),
        ("^b", "a\nb", False),
        # `\d`, `\w` and `\b` are of ASCII.
        (r"^\d$", "\u0663", False),
        (r"^\w$", "é", False),
        (r"a\b", "aé", True),
        (r"^[\b]$", "\x08", True),
        # Escapes of characters.
        (r"^\u00e9$", "é", True),
        (r"^[\u0041-\u0043]$", "B", True),
        (r"^\u{1F600}$", "\U0001f600", True),
        (r"^\u{0000001F600}$", "\U0001f600", True),
        (r"^\ud83d\ude00$", "\U0001f600", True),
        (r"^[\uD83D\uDE00-\uD83D\uDE02]$", "\U0001f601", True),
        (r"^\cJ$", "\n", True),
        (r"^\cj$", "\n", True),
        (r"^[\cA-\cC]$", "\x02", True),
        (r"^\0$", "\x00", True),
        (r"^\u{10400}$", "\U00010400", True),
        (r"^\x41$", "A", True),
        (r"^\/\-\$$", "/-$", True),
        (r"^\\u0041$", "\\u0041", True),
        # Halves of surrogate pairs may be left out, though no text here has any.
        (r"^[^\ud800-\udfff]$", "\U0001f600", True),
        (r"^[\ud800-\udfff]$", "\U0001f600", False),
        # A bracket in a class is one.
        ("^[[]$", "[", True),
        ("^[a[]$", "[", True),
        ("^[[:]$", ":", True),
        (r"^[\]]$", "]", True),
        (r"^[[\]]$", "]", True),
        (r"^[^\]]$", "]", False),
        ("^[:alpha:]$", "h", True),
        ("^[:alpha:]$", "b", False),
        ("^[a{,5}]$", ",", True),
        # A mistake in ECMA-262, which others read alike.
        (r"\Aa\Z", "a", True),
        (r"\Aa\Z", "a\n", False),
        (r"a\z", "a\n", False),
        ("(?i)^a$", "A", True),
        (r"^[\w-\s]$", "-", True),
        (r"^[\w-\s]$", "\u00a0", True),
        ("^(?<year>[0-9]{4})$", "2026", True),
        (r"^\p{Lu}\P{Lu}$", "Éa", True),
    ],
)
def test_a_pattern_matches_what_the_standard_says(pattern: str, text: str, is_found: bool) -> None:
    assert is_found is registered_pattern(pattern).is_found_in(text)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\C", "`\\C` and `\\Q` are not in ECMA-262"),
        (r"\Qa.b\E", "`\\C` and `\\Q` are not in ECMA-262"),
        ("[[:alpha:]]", "write the characters, such as `A-Za-z`"),
        ("[^[:^space:]]", "write the characters, such as `A-Za-z`"),
        ("[]a]", "a class that begins with `]` is empty"),
        ("[^]a]", "a class that begins with `]` is empty"),
        ("a{,5}", "write `{0,n}`"),
        (r"\ud83d.", "half of a surrogate pair"),
        (r"(a)\1", "it refers back"),
        ("(?=a)", "it looks ahead"),
    ],
)
def test_what_would_mean_something_else_is_refused_with_what_to_write(pattern: str, reason: str) -> None:
    with pytest.raises(PatternRefused) as refusal:
        registered_pattern(pattern)

    assert reason in refusal.value.reason


def test_a_pattern_that_was_registered_before_is_still_matched() -> None:
    assert schema_pattern("^[[:alpha:]]$").is_found_in("x")


@pytest.mark.parametrize("part", [".", r"\s", r"\S", r"[\s\S]", r"[^\s]", r"[\S]"])
def test_a_repetition_may_count_to_a_thousand(part: str) -> None:
    assert registered_pattern(f"^{part}{{1,1000}}$").is_found_in(
        "x" * 10 if "S" in part or part in {".", r"[^\s]"} else " "
    )
