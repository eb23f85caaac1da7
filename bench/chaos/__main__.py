"""`python -m bench.chaos`: kills everything while runs are under way, and judges what came of them.

Ends with exit code 1 when a run was lost, something was committed twice, or a double call was not reported; and when a
part of the stack stays away, which is named. The last line is JSON; every kill is told on stderr, and `--seed` repeats
the plan.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any

from agentflow.errors import AgentflowError
from agentflow.process_exit import exit_process
from bench.chaos.suite import ChaosSuite, SuiteOptions

_LARGEST_SEED = 2**31


def read_options() -> SuiteOptions:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the workload and the kills; drawn when it is left out")
    parser.add_argument("--runs", type=int, default=500, help="how many runs the storm of kills meets")
    parser.add_argument("--kills", type=int, help="how many kills the storm has; one for eight runs")
    parser.add_argument("--transitions", type=int, help="how many deaths beside transitions; all of them")
    parser.add_argument("--users", type=int, default=16, help="how many runs are under way at once")
    parser.add_argument("--workers", type=int, default=2, help="how many workers the storm meets")
    parser.add_argument("--without-heavy", action="store_true", help="leave out what takes seconds of a core a run")
    parser.add_argument("--patience", type=float, default=180.0, help="how many seconds a part may stay away")
    given = parser.parse_args()
    return SuiteOptions(
        seed=given.seed if given.seed is not None else SystemRandom().randrange(_LARGEST_SEED),
        runs=given.runs,
        kills=given.kills if given.kills is not None else max(given.runs // 8, 1),
        transitions=given.transitions,
        users=given.users,
        workers=given.workers,
        with_heavy=not given.without_heavy,
        patience_seconds=given.patience,
    )


def _judged(options: SuiteOptions, folder: Path) -> tuple[Mapping[str, Any], bool]:
    try:
        return ChaosSuite(options, folder).run()
    except AgentflowError as error:
        print(f"the stack did not start: {error}", file=sys.stderr, flush=True)
        return {"stopped": True, "seed": options.seed}, False


def main() -> None:
    options = read_options()
    # As Ctrl-C does: PostgreSQL would outlive a process that is ended without a word.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed}: {options.runs} runs, {options.kills} kills", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="agentflow-chaos-", ignore_cleanup_errors=True) as folder:
        # As root, PostgreSQL runs as a user of its own, who has to reach its files.
        Path(folder).chmod(0o711)
        figures, is_passed = _judged(options, Path(folder))
    print(json.dumps(figures), flush=True)
    exit_process(0 if is_passed else 1)


if __name__ == "__main__":
    main()
