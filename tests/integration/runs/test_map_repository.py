import asyncio
import json

import pytest

from agentflow.blobs import JSON_MEDIA_TYPE, BlobStore
from agentflow.database import Database
from runs.map_repository import MapJournal, OpenMap, StoredPage
from runs.models import ItemRecord, MapState, StepKey, StepState


class Maps:
    """The maps of one organisation: one transaction for each call."""

    def __init__(self, database: Database, org_id: str) -> None:
        self._database, self.org_id = database, org_id
        self.key = StepKey(org_id=org_id, run_id="run_1", node_id="each")

    async def open(self, count: int = 10, *, pages: str = "pages") -> OpenMap:
        async with self._database.transaction() as session:
            return await MapJournal(session).open(self.key, item_count=count, pages_digest=pages, is_batched=True)

    async def copy(self, map_id: int, *records: ItemRecord) -> bool:
        async with self._database.transaction() as session:
            copied = await MapJournal(session).copy(org_id=self.org_id, map_id=map_id, records=records)
            if not copied:
                await session.rollback()
            return copied

    async def add(self, map_id: int, *records: ItemRecord) -> None:
        async with self._database.transaction() as session:
            await MapJournal(session).add(org_id=self.org_id, map_id=map_id, records=records)

    async def outputs(self, map_id: int, items: range) -> list[str | None]:
        async with self._database.transaction() as session:
            results = await MapJournal(session).results(self.key, map_id=map_id, is_batched=True, items=items)
        return [result.output for result in results]

    async def recorded(self, map_id: int, items: range) -> dict[int, StepState]:
        async with self._database.transaction() as session:
            return await MapJournal(session).recorded(org_id=self.org_id, map_id=map_id, items=items)

    async def pages(self, map_id: int, items: range, *, page_items: int) -> list[StoredPage]:
        async with self._database.transaction() as session:
            return await MapJournal(session).store_pages(
                org_id=self.org_id,
                run_id="run_1",
                map_id=map_id,
                page_items=page_items,
                items=items,
                media_type=JSON_MEDIA_TYPE,
            )

    async def close(self, map_id: int, *, succeeded: int, failed: int) -> None:
        async with self._database.transaction() as session:
            await MapJournal(session).close(org_id=self.org_id, map_id=map_id, succeeded=succeeded, failed=failed)

    async def state(self) -> MapState:
        async with self._database.transaction() as session:
            (state,) = await MapJournal(session).maps_of(org_id=self.org_id, run_id="run_1")
        return state

    async def blob(self, digest: str) -> object:
        return json.loads(await BlobStore(self._database).get(org_id=self.org_id, digest=digest))


@pytest.fixture
def maps(database: Database, org_id: str) -> Maps:
    return Maps(database, org_id)


def done(index: int, output: str = "1") -> ItemRecord:
    return ItemRecord(item_index=index, state=StepState.COMMITTED, output=output)


def failed(index: int, message: str = "no") -> ItemRecord:
    return ItemRecord(item_index=index, state=StepState.FAILED, error_code="function.failed", error_message=message)


async def test_a_map_is_opened_once_whoever_asks_again(maps: Maps) -> None:
    opened = await asyncio.gather(*(maps.open(10, pages=f"pages {n}") for n in range(8)))

    assert 1 == len(set(opened))


async def test_items_are_recorded_as_they_are_whatever_is_in_them(maps: Maps) -> None:
    opened = await maps.open()
    awkward = json.dumps({"text": 'tab\tline\nback\\slash "quote" \\N \\. \x00 é 🙂'}, ensure_ascii=False)

    assert await maps.copy(opened.map_id, done(0, awkward), done(1, "null"), failed(2, "a\tb\\N\nc"))

    assert [awkward, "null", None] == await maps.outputs(opened.map_id, range(10))


async def test_the_first_record_of_an_item_stays(maps: Maps) -> None:
    opened = await maps.open()
    await maps.copy(opened.map_id, done(0, "1"), done(1, "1"))

    assert not await maps.copy(opened.map_id, done(1, "2"), done(2, "2"))
    assert ["1", "1"] == await maps.outputs(opened.map_id, range(10))
    await maps.add(opened.map_id, done(1, "3"), done(2, "3"))
    assert ["1", "1", "3"] == await maps.outputs(opened.map_id, range(10))


async def test_attempts_at_once_record_each_item_once(maps: Maps) -> None:
    opened = await maps.open()

    async def attempt(number: int) -> bool:
        return await maps.copy(opened.map_id, *(done(index, str(number)) for index in range(10)))

    won = await asyncio.gather(*(attempt(number) for number in range(6)))

    assert 1 == sum(won)
    assert [str(won.index(True))] * 10 == await maps.outputs(opened.map_id, range(10))


async def test_an_attempt_that_goes_on_sees_what_is_done(maps: Maps) -> None:
    opened = await maps.open()
    await maps.copy(opened.map_id, done(3), failed(4), done(9))

    assert {3: StepState.COMMITTED, 4: StepState.FAILED} == await maps.recorded(opened.map_id, range(3, 9))


async def test_pages_of_results_are_made_of_the_items_with_null_for_failed_ones(maps: Maps) -> None:
    opened = await maps.open(5)
    await maps.copy(opened.map_id, *(done(index, f'{{"n":{index}}}') for index in (4, 3, 1, 0)), failed(2))

    first, second = await maps.pages(opened.map_id, range(5), page_items=3)

    assert (3, 1, 2, 0) == (first.items, first.failed, second.items, second.failed)
    assert [{"n": 0}, {"n": 1}, None] == await maps.blob(first.digest)
    assert [{"n": 3}, {"n": 4}] == await maps.blob(second.digest)
    assert len('[{"n":3},{"n":4}]') == second.size_bytes


async def test_an_open_map_counts_its_items_and_a_closed_one_keeps_its_count(maps: Maps) -> None:
    opened = await maps.open(5)
    await maps.copy(opened.map_id, done(0), failed(1))
    counting = await maps.state()
    await maps.close(opened.map_id, succeeded=4, failed=1)
    closed = await maps.state()

    assert (5, 1, 1, None) == (counting.item_count, counting.succeeded, counting.failed, counting.closed_at)
    assert (4, 1) == (closed.succeeded, closed.failed)
    assert closed.closed_at is not None


async def test_a_tenant_sees_nothing_of_anothers_map(maps: Maps, database: Database) -> None:
    opened = await maps.open()
    await maps.copy(opened.map_id, done(0))
    stranger = Maps(database, "org_other")

    assert {} == await stranger.recorded(opened.map_id, range(10))
    assert [] == await stranger.outputs(opened.map_id, range(10))
    assert [0, 0] == [page.items for page in await stranger.pages(opened.map_id, range(10), page_items=5)]
