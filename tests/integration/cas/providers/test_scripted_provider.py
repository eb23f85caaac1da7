"""The scripted provider as a program, as benches and crash tests start it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx

from cas.providers.local_provider import LocalProvider
from tests.integration.cas.providers.requests import asking


async def test_the_program_tells_its_port_answers_and_counts() -> None:
    command = [sys.executable, "-m", "tests.scripted_provider", "--port", "0", "--latency-ms", "1"]
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4])
    assert program.stdout is not None
    ready = json.loads(await program.stdout.readline())
    provider = LocalProvider(base_url=ready["openai"])

    for _ in range(2):
        await provider.complete(asking(idempotency_key="attempt-1"))
    async with httpx.AsyncClient() as client:
        tally = (await client.get(f"http://127.0.0.1:{ready['port']}/_requests")).json()
    await provider.close()
    program.terminate()
    exit_code = await program.wait()

    assert {"count": 2, "idempotency_keys": {"attempt-1": 2}} == tally
    assert 0 == exit_code
