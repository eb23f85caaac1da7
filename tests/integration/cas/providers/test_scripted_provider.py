"""The scripted provider itself: what tests rely on, and the program that benches and crash tests start."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cas.providers.local_provider import LocalProvider
from tests.deadline import deadline
from tests.integration.cas.providers.requests import asking
from tests.scripted_provider import Answer, Fail, Hold, ScriptedProvider


async def test_the_program_tells_its_port_answers_and_counts() -> None:
    command = [sys.executable, "-m", "tests.scripted_provider", "--port", "0", "--latency-ms", "1"]
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4])
    assert program.stdout is not None
    async with deadline("the program to tell its port"):
        ready = json.loads(await program.stdout.readline())
    provider = LocalProvider(base_url=ready["openai"])

    for _ in range(2):
        await provider.complete(asking(idempotency_key="attempt-1"))
    async with httpx.AsyncClient() as client:
        tally = (await client.get(f"http://127.0.0.1:{ready['port']}/_requests")).json()
    await provider.close()
    program.terminate()
    async with deadline("the program to stop"):
        exit_code = await program.wait()

    assert {"count": 2, "idempotency_keys": {"attempt-1": 2}} == tally
    assert 0 == exit_code


CALL = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
async def http(vendor: ScriptedProvider) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the vendor over one connection, as long as that can be used."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=vendor.base_url_openai, limits=limits, trust_env=False) as http:
        yield http


async def test_a_connection_goes_on_after_a_call_that_was_held(
    vendor: ScriptedProvider, http: httpx.AsyncClient
) -> None:
    ports = set()
    for number in range(20):
        vendor.hold_again()
        vendor.script(Hold())
        held = asyncio.create_task(http.post("/chat/completions", json=CALL))
        await vendor.received(2 * number + 1)
        vendor.release()
        async with deadline("a released call to be answered, and another one"):
            answers = [await held, await http.post("/chat/completions", json=CALL)]
        assert [200, 200] == [answer.status_code for answer in answers]
        ports |= {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}

    assert 1 == len(ports)


async def test_what_is_held_when_the_provider_ends_ends_with_it() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        async with ScriptedProvider() as vendor:
            vendor.script(Hold())
            held = asyncio.create_task(http.post(f"{vendor.base_url_openai}/chat/completions", json=CALL))
            await vendor.received(1)

        with pytest.raises(httpx.TransportError):
            await held


async def test_a_wait_that_is_in_vain_says_what_for_and_what_there_was(
    vendor: ScriptedProvider, http: httpx.AsyncClient
) -> None:
    vendor.script(Answer(text="x"), Hold())
    await http.post("/chat/completions", json=CALL)

    with pytest.raises(AssertionError, match=r"waited 0\.05 s for 2 calls of models; .* has received 1, holds 0 of 0"):
        await vendor.received(2, within_seconds=0.05)
    with pytest.raises(AssertionError, match=r"for 1 held calls to lose their client; .* 1 left in its script"):
        await vendor.abandoned(within_seconds=0.05)


async def test_a_provider_that_was_reset_is_as_a_new_one(vendor: ScriptedProvider, http: httpx.AsyncClient) -> None:
    vendor.latency_seconds = 0.01
    vendor.script(Hold(), Fail(status=500))
    held = asyncio.create_task(http.post("/chat/completions", json=CALL))
    await vendor.received(1)

    await vendor.reset()

    assert 200 == (await held).status_code
    assert ([], 0, 0.0) == (vendor.requests, vendor.abandonments, vendor.latency_seconds)
    vendor.script(Hold())
    held = asyncio.create_task(http.post("/chat/completions", json=CALL))
    await vendor.received(1)
    # What was released before is forgotten as well.
    held.cancel()
    await vendor.abandoned()
