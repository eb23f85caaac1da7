import pytest

from cli.run_text import SYMBOLS, node_event, node_lines, pii_text, run_facts, state_text
from runs.plan import NodeState
from tests.unit.cli.run_documents import node_document, run_document

FETCH = node_document("fetch", type="tool", kind="tool", state="succeeded", duration_seconds=0.2, attempts=1)
ANALYZE = node_document(
    "analyze",
    type="map",
    kind="llm",
    state="failed",
    items_total=4,
    items_done=3,
    duration_seconds=12.34,
    attempts=5,
    input_tokens=3_000,
    output_tokens=150,
    cost_micro_usd=1_250,
    cache_hits=2,
    error={"code": "provider.timed_out", "message": "no answer\x1b[2J in time", "node_id": "analyze"},
)
REPORT = node_document("report", state="skipped")


@pytest.mark.usefixtures("half_past_zone")
def test_a_run_that_failed_is_told_with_its_error_and_its_figures() -> None:
    run = run_document(
        state="failed",
        finished_at="2026-01-02T03:04:15+00:00",
        budget_cents=1_000,
        cost_micro_usd=12_345,
        input_tokens=3_000,
        output_tokens=150,
        pii={"PHONE": 2, "EMAIL": 3},
        temporal_ui_url="http://127.0.0.1:8233/run_1",
        error={"code": "provider.timed_out", "message": "no answer in time", "node_id": "analyze"},
    )

    expected = """\
Run            run_1
Workflow       analysis version 2
State          failed
Error          provider.timed_out: node analyze: no answer in time
Look at it     agentctl workflow step run_1 analyze
Created        2026-01-02 08:34:05
Ended          2026-01-02 08:34:15
Cost           $0.012345 of $10.00
Tokens         3,000 in, 150 out
PII tokenised  EMAIL 3, PHONE 2
Trace          0123456789abcdef0123456789abcdef
Temporal       http://127.0.0.1:8233/run_1"""
    assert expected == run_facts(run)


def test_what_a_young_run_does_not_have_is_left_out() -> None:
    names = [line.split("  ")[0] for line in run_facts(run_document()).splitlines()]

    assert ["Run", "Workflow", "State", "Created", "Cost", "Tokens", "Trace"] == names


def test_an_error_of_the_run_itself_names_no_node() -> None:
    error = {"code": "run.timed_out", "message": "it took too long", "node_id": None}

    assert "run.timed_out: it took too long" in run_facts(run_document(error=error))


def test_a_budget_of_nothing_is_a_budget() -> None:
    assert "$0.00 of $0.00" in run_facts(run_document(budget_cents=0))


def test_nodes_stand_in_document_order_with_their_figures_and_their_errors() -> None:
    expected = [
        "✓ fetch (tool)                200ms",
        "✗ analyze (map of llm) 3/4    12.3s  3.0k/150 tokens    $0.00125   5 attempts, 2 from cache",
        "    provider.timed_out: no answer?[2J in time",
        "↷ report (function)",
    ]

    assert expected == node_lines(run_document(FETCH, ANALYZE, REPORT))


def test_an_agent_shows_its_turns_and_calls() -> None:
    node = node_document("a", type="agent", kind="agent", state="running", attempts=1, turns=2, tool_calls=1)

    assert node_lines(run_document(node))[0].endswith("2 turns, 1 tool call")


def test_a_node_that_was_taken_back_says_so() -> None:
    node = node_document("flight", state="succeeded", compensation="failed")

    assert node_lines(run_document(node))[0].endswith("not taken back: that failed")


def test_nodes_hang_below_the_latest_that_they_wait_for() -> None:
    lines = node_lines(
        run_document(
            node_document("a"),
            node_document("b", depends=["a"], state="failed", error={"code": "e", "message": "m", "node_id": "b"}),
            node_document("c", depends=["a", "b"]),
            node_document("d", depends=["a"]),
            node_document("e"),
        )
    )

    assert [
        "· a (function)",
        "├─ ✗ b (function)",
        "│      e: m",
        "│  └─ · c (function)",
        "└─ · d (function)",
        "· e (function)",
    ] == lines


def test_the_error_of_an_attempt_that_was_followed_by_a_better_one_is_not_shown() -> None:
    assert 1 == len(node_lines(run_document({**ANALYZE, "state": "succeeded"})))


def test_a_run_without_nodes_has_no_lines() -> None:
    assert [] == node_lines(run_document())


def test_an_event_is_one_line_about_one_node() -> None:
    assert "succeeded  fetch (tool)    200ms" == node_event(FETCH)
    assert "skipped    report (function)" == node_event(REPORT)


def test_every_state_of_a_node_has_a_symbol_of_its_own() -> None:
    assert {state.value for state in NodeState} == set(SYMBOLS)
    assert len(SYMBOLS) == len(set(SYMBOLS.values()))


def test_findings_are_sorted_by_their_kind() -> None:
    assert "EMAIL 3, PHONE 2" == pii_text({"PHONE": 2, "EMAIL": 3})
    assert "" == pii_text({})


def test_a_run_that_waits_for_its_turn_tells_its_place() -> None:
    waiting = run_document(state="submitted", queue_place=1_203)

    assert ["running", "queued, number 1,203 in line"] == [state_text(run_document()), state_text(waiting)]
