"""What `make test` and `scripts/repeat_tests.sh` promise to who reads their exit codes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
REPEAT = ROOT / "scripts" / "repeat_tests.sh"
#: What is started in the background of a script ignores SIGINT, and no shell below it can trap that.
AS_AT_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: Passes as often as the file `rounds` says.
FLAKY = """
from pathlib import Path

def test_flaky():
    rounds = Path(__file__).with_name("rounds")
    left = int(rounds.read_text())
    rounds.write_text(str(left - 1))
    assert left
"""


@pytest.mark.parametrize(("failing", "exit_code"), [("not alone", 2), ("alone", 2), ("neither", 0)])
def test_both_tiers_run_whatever_comes_of_the_first(tmp_path: Path, failing: str, exit_code: int) -> None:
    (tmp_path / ".installed").touch()
    stand_in = tmp_path / "pytest"
    stand_in.write_text(
        f'#!/bin/sh\nfor last; do :; done\necho "$last" >> {tmp_path}/ran\n[ "$last" != "{failing}" ]\n'
    )
    stand_in.chmod(0o755)
    command = ["make", "test", f"BIN={tmp_path}", f"STAMP={tmp_path}/.installed"]

    made = subprocess.run(command, cwd=ROOT, env=plain_environment(), capture_output=True, timeout=60, check=False)

    assert ["not alone", "alone"] == (tmp_path / "ran").read_text().splitlines()
    assert exit_code == made.returncode


def test_repeating_stops_at_the_first_round_that_fails_and_says_which(tmp_path: Path) -> None:
    repeating = repeat(tmp_path, rounds=3, passing=1)
    out, err = repeating.communicate(timeout=120)

    assert 1 == repeating.returncode
    assert "round 2 of 3 failed" in err
    assert "round 3" not in out
    assert [] == busy_loops_of(repeating.pid)


def test_repeating_without_a_failure_is_a_success(tmp_path: Path) -> None:
    repeating = repeat(tmp_path, rounds=2, passing=2)
    out, _ = repeating.communicate(timeout=120)

    assert 0 == repeating.returncode
    assert "2 rounds passed" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_stops_the_repeating_stops_what_keeps_the_cores_busy(tmp_path: Path, number: signal.Signals) -> None:
    repeating = repeat(tmp_path, rounds=1_000, passing=1_000)
    assert repeating.stdout is not None
    assert "round 1 of 1000\n" == repeating.stdout.readline()
    busy = busy_loops_of(repeating.pid)
    assert len(busy) == os.sysconf("SC_NPROCESSORS_ONLN")

    # As Ctrl-C: to the script and all that it has started; a kill is for the script alone.
    (os.kill if number == signal.SIGKILL else os.killpg)(repeating.pid, number)
    repeating.communicate(timeout=60)

    assert 0 != repeating.returncode
    assert ([], 0) == (psutil.wait_procs(busy, timeout=30)[1], len(busy_loops_of(repeating.pid)))


@pytest.mark.parametrize("arguments", [(), ("3",), ("0", "tests"), ("x", "tests"), ("-1", "tests")])
def test_repeating_nothing_is_refused(arguments: tuple[str, ...]) -> None:
    refused = subprocess.run(["sh", REPEAT, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "usage:" in refused.stderr


def repeat(folder: Path, *, rounds: int, passing: int) -> subprocess.Popen[str]:
    (folder / "test_flaky.py").write_text(FLAKY)
    (folder / "rounds").write_text(str(passing))
    script = ["sh", str(REPEAT), str(rounds), "--rootdir", str(folder), "-c", os.devnull]
    script += ["-p", "no:cacheprovider", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", AS_AT_A_TERMINAL, *script],
        env={**plain_environment(), "PYTHON": sys.executable, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def plain_environment() -> dict[str, str]:
    """Without what an outer make or pytest hands down."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST"))}


def busy_loops_of(script: int) -> list[psutil.Process]:
    """The processes that keep a core busy for a script."""
    wanted = f"while os.getppid() == {script}:"
    return [found for found in psutil.process_iter(["cmdline"]) if wanted in " ".join(found.info["cmdline"] or ())]
