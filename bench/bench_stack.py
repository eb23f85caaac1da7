"""What every bench does around its measurement: a stack of its own, and the figures as the last line."""

import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import uvloop

from agentflow.process_exit import exit_process
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack


def run_bench(measure: Callable[[dict[str, str]], Awaitable[Mapping[str, float]]]) -> None:
    """Measures on PostgreSQL and Temporal alone, prints the figures as one JSON object, and ends the process."""

    async def measured() -> Mapping[str, float]:
        return await measure(stack.environment())

    with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
        # As root, PostgreSQL runs as a user of its own, who has to reach its files.
        Path(folder).chmod(0o711)
        print("starting PostgreSQL and Temporal …", flush=True)
        stack = EmbeddedStack(Path(folder), StackPorts.any_free(), with_model=False, with_services=False)
        with stack:
            # The loop of the production worker.
            figures = uvloop.run(measured())
    print(json.dumps(figures))
    exit_process(0)
