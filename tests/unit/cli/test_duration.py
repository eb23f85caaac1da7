from datetime import timedelta

import pytest
from click import BadParameter

from cli.duration import Duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert expected == Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "7", "d", "1.5h", "-1d", "1w", "7d ", "٣d", "9999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="no duration"):
        Duration().convert(text, None, None)
