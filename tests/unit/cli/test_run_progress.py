import pytest

from agentflow.client_types import RunNodeDocument
from cli.run_progress import following
from tests.unit.cli.run_documents import node_document, run_document


def shown(capsys: pytest.CaptureFixture[str], *looks: list[RunNodeDocument]) -> list[list[str]]:
    """The lines that each look at a run prints, without their figures."""
    lines = []
    with following() as follower:
        for nodes in looks:
            follower(run_document(*nodes))
            out, err = capsys.readouterr()
            assert not out
            lines.append([" ".join(line.split()) for line in err.splitlines()])
    return lines


def test_away_from_a_terminal_only_changes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    fetch, report = node_document("fetch"), node_document("report")
    running, done = node_document("fetch", state="running"), node_document("fetch", state="succeeded")

    lines = shown(
        capsys,
        [fetch, report],
        [running, report],
        [running, report],
        [done, {**report, "state": "running"}],
        [done, {**report, "state": "failed"}],
        [done, {**report, "state": "failed"}],
    )

    expected = [
        [],
        ["running fetch (function)"],
        [],
        ["succeeded fetch (function)", "running report (function)"],
        ["failed report (function)"],
        [],
    ]
    assert expected == lines


def test_a_map_is_told_of_as_its_items_advance(capsys: pytest.CaptureFixture[str]) -> None:
    node = node_document("analyze", type="map", kind="llm", state="running", items_total=3, items_done=0)

    lines = shown(
        capsys,
        [node],
        [{**node, "input_tokens": 5}],
        [{**node, "items_done": 2}],
        [{**node, "items_done": 3, "state": "succeeded"}],
    )

    expected = [
        ["running analyze (map of llm) 0/3"],
        [],
        ["running analyze (map of llm) 2/3"],
        ["succeeded analyze (map of llm) 3/3"],
    ]
    assert expected == lines


def test_two_runs_are_followed_apart(capsys: pytest.CaptureFixture[str]) -> None:
    node = node_document("fetch", state="running")

    assert shown(capsys, [node]) == shown(capsys, [node])
