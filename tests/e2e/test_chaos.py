"""A small storm: every part of a stack is killed while runs are under way, and nothing is lost or done twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded.waiting import wait_until

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


def test_a_part_that_stays_away_ends_the_suite_with_its_name(tmp_path: Path) -> None:
    options = ["--seed", "77", "--runs", "400", "--kills", "1", "--transitions", "0", "--patience", "8"]
    tmp_path.chmod(0o711)
    told = tmp_path / "told"
    with (
        told.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "bench.chaos", *options, "--without-heavy"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as suite,
    ):
        try:
            assert wait_until(
                lambda: "undisturbed" in told.read_text() or suite.poll() is not None, timeout_seconds=150
            )
            (folder,) = tmp_path.glob("agentflow-chaos-*")
            data = (folder / "postgres").resolve()
            # No server can be started on this.
            (data / "PG_VERSION").write_text("9\n")
            os.kill(int((data / "postmaster.pid").read_text().split()[0]), 9)

            answer, _ = suite.communicate(timeout=200)
        finally:
            suite.kill()

    assert 1 == suite.returncode
    assert json.loads(answer.splitlines()[-1])["stopped"] is True
    assert "away: postgres has not answered for" in told.read_text()
    assert "was written by PostgreSQL '9'" in told.read_text()
