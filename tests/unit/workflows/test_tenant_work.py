"""Real processes: what runs too long, or takes too much, ends; the others go on."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agentflow.digest import canonical_json
from tests.loop_delay import LoopDelay
from tests.unit.workflows.sample_catalog import CATALOG
from workflows.document_work import compile_text, read_names
from workflows.errors import ServerOccupied, SpecInvalid, WorkTooCostly
from workflows.tenant_work import SHORT_BYTES, TenantWork, weight_of

pytestmark = pytest.mark.usefixtures("own_heap")

LONG = SHORT_BYTES + 1
CPU_SECONDS = 1.0
DOCUMENT = '{"name": "d", "nodes": [{"id": "a", "type": "wait", "config": {"for": 1}}]}'


@pytest.fixture
async def work() -> AsyncIterator[TenantWork]:
    work = TenantWork(processes=2, cpu_seconds=CPU_SECONDS)
    yield work
    await work.close()


async def test_a_long_document_compiles_to_the_same_plan_in_a_process_and_here(work: TenantWork) -> None:
    text = DOCUMENT + " " * LONG

    names = await work.run(read_names, text, org_id="a", size_bytes=len(text))
    there = await work.run(compile_text, text, CATALOG, False, org_id="a", size_bytes=len(text))

    assert read_names(text) == names
    assert compile_text(text, CATALOG) == there


async def test_an_error_comes_back_with_its_facts(work: TenantWork) -> None:
    text = '{"name": "d", "nodes": [{"id": "a", "type": "none"}]}'

    with pytest.raises(SpecInvalid) as here:
        compile_text(text, CATALOG)
    with pytest.raises(SpecInvalid) as there:
        await work.run(compile_text, text, CATALOG, False, org_id="a", size_bytes=LONG)

    assert here.value.problems == there.value.problems
    assert str(here.value) == str(there.value)


async def test_a_process_is_used_again(work: TenantWork) -> None:
    first, second = [await work.run(os.getpid, org_id="a", size_bytes=LONG) for _ in range(2)]

    assert first == second != os.getpid()


async def test_a_process_has_none_of_this_ones_secrets(work: TenantWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_KEY", "secret")

    assert await work.run(os.getenv, "VAULT_KEY", org_id="a", size_bytes=LONG) is None


async def test_what_takes_too_much_time_ends_and_keeps_no_loop(work: TenantWork) -> None:
    async with LoopDelay() as delay:
        with pytest.raises(WorkTooCostly):
            await work.run(pow, 3, 10**9, org_id="a", size_bytes=LONG)

    assert delay.worst_seconds < 0.05
    assert b"1" == await work.run(canonical_json, 1, org_id="a", size_bytes=LONG)


async def test_an_organisation_that_has_its_share_keeps_no_other(work: TenantWork) -> None:
    endless = [asyncio.create_task(work.run(time.sleep, 3_600, org_id="a", size_bytes=LONG)) for _ in range(8)]

    async with asyncio.timeout(60):
        assert b"1" == await work.run(canonical_json, 1, org_id="b", size_bytes=LONG)

    for task in endless:
        task.cancel()
    assert {asyncio.CancelledError} == {type(end) for end in await asyncio.gather(*endless, return_exceptions=True)}


async def test_what_takes_too_much_memory_ends(work: TenantWork) -> None:
    with pytest.raises(WorkTooCostly):
        await work.run(bytes, 10**11, org_id="a", size_bytes=LONG)

    assert b"1" == await work.run(canonical_json, 1, org_id="a", size_bytes=LONG)


async def test_work_that_nobody_waits_for_any_more_is_ended(work: TenantWork) -> None:
    unwanted = asyncio.create_task(work.run(time.sleep, 3_600, org_id="a", size_bytes=LONG))
    await asyncio.sleep(0)
    unwanted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unwanted

    async with asyncio.timeout(60):
        assert b"1" == await work.run(canonical_json, 1, org_id="a", size_bytes=LONG)


async def test_many_at_once_all_end(work: TenantWork) -> None:
    tasks = [
        work.run(canonical_json, number, org_id=f"org{number % 3}", size_bytes=LONG * (number % 2))
        for number in range(30)
    ]

    assert [str(number).encode() for number in range(30)] == await asyncio.gather(*tasks)


async def test_an_idle_process_that_has_died_costs_nobody_an_answer(work: TenantWork) -> None:
    for _ in range(3):
        os.kill(await work.run(os.getpid, org_id="a", size_bytes=LONG), signal.SIGKILL)

        assert b"1" == await work.run(canonical_json, 1, org_id="a", size_bytes=LONG)


async def test_what_every_process_dies_of_is_too_costly(work: TenantWork) -> None:
    with pytest.raises(WorkTooCostly):
        await work.run(os._exit, 1, org_id="a", size_bytes=LONG)


async def test_what_waits_for_a_processor_is_not_told_to_be_too_costly() -> None:
    work = TenantWork(processes=1, wall_seconds=0.5)

    with pytest.raises(ServerOccupied):
        await work.run(time.sleep, 3_600, org_id="a", size_bytes=LONG)

    await work.close()


async def test_what_was_short_and_takes_long_ends_all_the_same(work: TenantWork) -> None:
    with pytest.raises(WorkTooCostly):
        await work.run(endless_elsewhere, os.getpid(), org_id="a", size_bytes=0)

    assert b"1" == await work.run(canonical_json, 1, org_id="b", size_bytes=0)


def endless_elsewhere(process_id: int) -> None:
    """Takes long in the process of that id, and for ever in any other."""
    if os.getpid() == process_id:
        time.sleep(3)
        return
    while True:
        pass


@pytest.mark.parametrize(
    "large",
    [
        {"a": ["x" * 9_000, ("x" * 9_000,)]},
        dict.fromkeys(map(str, range(9_000)), 1),
        [[b"x" * 17_000]],
        [0] * 17_000,
    ],
)
def test_all_that_is_in_a_value_weighs(large: object) -> None:
    assert weight_of({"v": large}) > SHORT_BYTES


def test_a_plan_weighs_what_its_schema_does() -> None:
    outline = compile_text(DOCUMENT, CATALOG).outline

    assert weight_of(outline) < SHORT_BYTES < weight_of(replace(outline, inputs_schema=b"x" * SHORT_BYTES))
