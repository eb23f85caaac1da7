import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from runs.exchange_repository import MAX_CHARACTERS, MAX_TEXT_CHARACTERS, MAX_VALUES, StepExchange, exchange_statement

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def kept(content: dict[str, Any]) -> Any:
    exchange = StepExchange(
        org_id="org_1",
        exchange_id="x",
        effect_key="k",
        run_id="run_1",
        attempt=1,
        status="error",
        error_code=None,
        error_message="nul \x00",
        began_at=NOW,
        ended_at=NOW,
        content=content,
    )
    return json.loads(zlib.decompress(exchange_statement(exchange).parameters["content"]))


def test_what_is_small_is_kept_as_it_is() -> None:
    content = {
        "messages": [{"role": "user", "text": "nul \x00 half \ud83d"}],
        "output": [1, 2.5, None, True, {"a": []}],
    }

    assert content == kept(content)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(float("nan"), "nan"), (float("inf"), "inf"), ({1, 2}, "[a set]"), (object(), "[a object]"), (b"x", "[a bytes]")],
)
def test_what_no_json_can_hold_is_named(value: Any, shown: str) -> None:
    assert {"output": [shown]} == kept({"output": [value]})


def test_a_long_text_a_long_list_and_many_texts_are_cut_with_what_is_left_out() -> None:
    assert kept({"t": "x" * (MAX_TEXT_CHARACTERS + 5)})["t"].endswith("x[…] 5 more characters")
    listed = kept({"l": [7] * 1_000_000})["l"]
    assert listed[-1] == f"[…] {1_000_000 - len(listed) + 1:,} more"
    assert len(listed) <= MAX_VALUES
    texts = kept({"l": ["x" * 50_000] * 50})["l"]
    assert sum(text.count("x") for text in texts) <= MAX_CHARACTERS
