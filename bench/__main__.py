"""`python -m bench`: the interpreter's tax and the overhead of an llm step. Takes about two minutes."""

import json
import tempfile
from pathlib import Path

import uvloop

from agentflow.process_exit import exit_process
from bench.interpreter_tax import interpreter_ratios
from bench.llm_overhead import llm_overheads
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack


async def measure(environment: dict[str, str]) -> dict[str, float]:
    ratios = await interpreter_ratios(environment)
    return {**ratios, **await llm_overheads(environment)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
        print("starting PostgreSQL and Temporal …", flush=True)
        stack = EmbeddedStack(Path(folder), StackPorts.any_free(), with_model=False, with_services=False)
        with stack:
            # The loop of the production worker.
            figures = uvloop.run(measure(stack.environment()))
    print(json.dumps(figures))
    exit_process(0)


if __name__ == "__main__":
    main()
