from typing import Any

import pytest

from activities.readers.strict_json import MAX_DEPTH, NotJson, read_json
from agentflow.digest import canonical_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("12345678901234567890123", 12345678901234567890123),
        (r'"\ud83d"', "\ufffd"),
        (r'"\ud83d\ude00 \ude00"', "\U0001f600 \ufffd"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'{"x\u0000y": "\u0000"}', {"x\ufffdy": "\ufffd"}),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
    ],
)
def test_what_comes_in_can_be_stored(text: str, value: Any) -> None:
    read = read_json(text)

    assert value is None or value == read
    canonical_json(read).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is nothing"),
        ("<html>later</html>", "expecting value, line 1"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("1e999", "too large for a double"),
        ("9" * 5_000, "more than 4,300 digits"),
        ('{"a":1}\n{"a":2}\n', "document.json_lines"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper than 200"),
        ('{"a":' * 100_000, "deeper than 200"),
        ('"a\nb"', "invalid control character"),
    ],
)
def test_what_is_no_json_is_refused_in_words(text: str, reason: str) -> None:
    with pytest.raises(NotJson, match=reason):
        read_json(text)
