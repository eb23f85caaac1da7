"""A small storm: every part of a stack is killed while runs are under way, and nothing is lost or done twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def test_runs_survive_the_kill_of_every_part_and_deaths_beside_transitions() -> None:
    options = ["--seed", "11", "--runs", "14", "--kills", "6", "--transitions", "2", "--users", "10", "--without-heavy"]

    ended = subprocess.run(
        [sys.executable, "-m", "bench.chaos", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert 0 == ended.returncode, ended.stderr[-20_000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    killed = {part.partition("-")[0] for part in figures["kills_by_part"]}
    assert {"worker", "api", "postgres", "temporal", "transitions"} == killed
    assert (0, 0, 0) == (figures["lost"], figures["double_commits"], figures["unreported"])
    assert figures["kills"] >= 8
    assert figures["runs"] >= 30
