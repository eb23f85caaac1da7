from cli.run_text import run_facts
from tests.unit.cli.run_documents import run_document

ENDED = "2026-01-02T03:04:15+00:00"


def line(**changes: object) -> str | None:
    told = run_facts(run_document(**changes))
    return next((line for line in told.splitlines() if line.startswith("Perhaps more")), None)


def test_money_of_calls_whose_end_nobody_knows_stands_beside_the_cost() -> None:
    told = line(state="cancelled", finished_at=ENDED, uncertain_micro_usd=400)

    assert "Perhaps more  $0.0004 may also be billed, for calls whose end nobody knows" == told


def test_what_is_held_is_for_calls_under_way_until_the_run_has_ended() -> None:
    assert "Perhaps more  $0.0003 set aside for calls under way" == line(held_micro_usd=300)
    ended = line(state="cancelled", finished_at=ENDED, held_micro_usd=300, uncertain_micro_usd=400)
    assert ended is not None
    assert "$0.0007 may also be billed" in ended


def test_a_run_whose_calls_are_settled_has_no_such_line() -> None:
    assert line(state="succeeded", finished_at=ENDED) is None
