import json
from pathlib import Path
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.cli.run_documents import run_document

RERUN = "/api/v1/workflows/runs/run_1/rerun"
PREVIEW: dict[str, Any] = {
    "rerun_of": "run_1",
    "nodes": [
        {
            "id": "fetch",
            "reused": True,
            "reason": "nothing that it depends on has changed",
            "takes_over_items": False,
            "earlier_cost_micro_usd": 0,
        },
        {
            "id": "each",
            "reused": False,
            "reason": "it was failed",
            "takes_over_items": True,
            "earlier_cost_micro_usd": 1_500,
        },
        {
            "id": "report",
            "reused": False,
            "reason": "it is new",
            "takes_over_items": False,
            "earlier_cost_micro_usd": None,
        },
    ],
    "estimated_cost_micro_usd": 1_500,
    "estimated_cost_cents": 1,
    "unknown_cost_nodes": ["report"],
}


def test_a_dry_run_shows_what_would_happen_and_starts_nothing(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(f"{RERUN}/preview", PREVIEW)

    assert ExitCode.OK == main(["workflow", "rerun", "run_1", "--failed-only", "--dry-run"])

    assert [f"{RERUN}/preview"] == [asked.path for asked in server.asked]
    expected = [
        "NODE    DOES                       BECAUSE                                 COST THEN",
        "fetch   taken over                 nothing that it depends on has changed  $0.00",
        "each    finished parts taken over  it was failed                           $0.0015",
        "report  runs                       it is new                               ?",
        "",
        "What runs again cost $0.0015 in the earlier run; of report nothing is known.",
    ]
    assert expected == [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_rerun_sends_what_it_is_told_and_prints_the_new_runs_id_alone(
    server: AnsweringServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(f"{RERUN}/preview", PREVIEW)
    server.answer(RERUN, run_document(run_id="run_2", rerun_of="run_1"), status=201)
    (home / "edited.yaml").write_text("name: größe", encoding="utf-8")
    options = ["--from", "each", "--from", "report", "--set", "depth=3", "--set", "options.lang=fr", "--budget", "50"]

    assert ExitCode.OK == main(["workflow", "rerun", "run_1", *options, "--spec", "edited.yaml"])

    wish = {
        "from_nodes": ["each", "report"],
        "failed_only": False,
        "failed_items": False,
        "changes": {"depth": 3, "options.lang": "fr"},
        "document": "name: größe",
    }
    assert [wish, {**wish, "budget_cents": 50}] == [json.loads(asked.body) for asked in server.asked]
    out, err = capsys.readouterr()
    assert "run_2\n" == out
    assert "finished parts taken over" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--from", "a", "--failed-only"],
        ["--failed-items", "--failed-only"],
        ["--set", "depth"],
        ["--set", "=3"],
        ["--spec", "latin-1.yaml"],
    ],
)
def test_a_wish_that_cannot_be_read_is_a_usage_error(server: AnsweringServer, home: Path, options: list[str]) -> None:
    (home / "latin-1.yaml").write_bytes(b"name: gr\xf6\xdfe")

    assert ExitCode.USAGE == main(["workflow", "rerun", "run_1", *options])
    assert [] == server.asked
