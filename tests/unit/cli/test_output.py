import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.output import cents, facts, local_time, next_page_hint, printable, show, table


def test_columns_of_a_table_are_as_wide_as_their_widest_cell() -> None:
    expected = """\
NAME      VERSION  CREATED
analysis  12       2026-01-02 03:04:05
b         1
"""
    rows = [("analysis", "12", "2026-01-02 03:04:05"), ("b", "1", "")]

    assert expected == table(("NAME", "VERSION", "CREATED"), rows) + "\n"


def test_a_table_without_rows_is_its_headings() -> None:
    assert "NAME  VERSION" == table(("NAME", "VERSION"), [])


def test_facts_stand_below_one_another_without_those_that_are_not_known() -> None:
    assert "Run    run_1\nState  running" == facts({"Run": "run_1", "Error, which is long": None, "State": "running"})
    assert "" == facts({"Run": None})


def test_facts_cannot_drive_a_terminal() -> None:
    assert "Error  a?[31m b" == facts({"Error": "a\x1b[31m b"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2J", "?[2J"),
        ("\x9b2J", "?2J"),
        ("a\r\nb", "a?\nb"),
        ("bell\a and nul\0 and delete\x7f", "bell? and nul? and delete?"),
        ("\u202egpj.exe", "?gpj.exe"),
        ("half \ud83d pair", "half ? pair"),
        ("10\u202f000\u00a0€, 東京\u3000駅, 🦊", "10\u202f000\u00a0€, 東京\u3000駅, 🦊"),
    ],
)
def test_control_characters_become_question_marks(text: str, shown: str) -> None:
    assert shown == printable(text)


@given(st.text())
def test_what_is_printable_stays_so_and_keeps_its_length(text: str) -> None:
    shown = printable(text)

    assert shown == printable(shown)
    assert len(text) == len(shown)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, None), (0, "$0.00"), (5, "$0.05"), (1_234, "$12.34"), (-1, "-$0.01"), (-250, "-$2.50")],
)
def test_cents_are_dollars_with_their_sign_in_front(amount: int | None, text: str | None) -> None:
    assert text == cents(amount)


@pytest.mark.usefixtures("half_past_zone")
@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (None, None),
        ("", None),
        ("2026-01-02T23:04:05.678901+00:00", "2026-01-03 04:34:05"),
        ("2026-01-02T03:04:05Z", "2026-01-02 08:34:05"),
    ],
)
def test_instants_are_shown_in_this_machines_zone(instant: str | None, text: str | None) -> None:
    assert text == local_time(instant)


def test_people_get_the_text_and_programs_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"name": "größe", "value": [1, None]}

    show(data, "table", lambda: "a text")
    assert "a text\n" == capsys.readouterr().out

    show(data, "json", lambda: "a text")
    assert '{\n  "name": "größe",\n  "value": [\n    1,\n    null\n  ]\n}\n' == capsys.readouterr().out

    show(data, "yaml", lambda: "a text")
    assert "name: größe\nvalue:\n- 1\n- null\n" == capsys.readouterr().out


@pytest.mark.parametrize("text", ["\x1b[31m", "yes", "1e3", "2025-01-01", " a ", "a: b\n#c", "'"])
def test_texts_come_back_from_json_and_yaml_as_they_were(capsys: pytest.CaptureFixture[str], text: str) -> None:
    show({"text": text}, "json", str)
    assert {"text": text} == json.loads(capsys.readouterr().out)

    show({"text": text}, "yaml", str)
    assert {"text": text} == yaml.safe_load(capsys.readouterr().out)


def test_a_next_page_is_told_of_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    next_page_hint(None)
    next_page_hint("c_2")

    out, err = capsys.readouterr()
    assert "There is more: add --cursor c_2\n" == err
    assert not out
