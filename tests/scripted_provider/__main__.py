"""`python -m tests.scripted_provider --port N --latency-ms M`: the default answers, as a process of its own.

Prints one JSON line with its port and base URLs when it is ready; `GET /_requests` counts the calls and their
idempotency keys. Ends at SIGTERM or SIGINT.
"""

import argparse
import asyncio
import json
import signal
import sys

from tests.scripted_provider.server import ScriptedProvider


async def serve(*, port: int, latency_seconds: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with ScriptedProvider(port=port, latency_seconds=latency_seconds) as provider:
        ready = {"port": provider.port, "openai": provider.base_url_openai, "anthropic": provider.base_url_anthropic}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scripted_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="waited before each answer")
    options = parser.parse_args()
    asyncio.run(serve(port=options.port, latency_seconds=options.latency_ms / 1_000))


if __name__ == "__main__":
    main()
