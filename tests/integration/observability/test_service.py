import pytest

from agentflow.database import Database
from observability.errors import TraceNotFound
from observability.repository import SpanRepository
from observability.service import TraceService
from tests.unit.observability.sample_run import SampleRun


async def test_the_trace_of_a_run_is_read_back(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    async with database.transaction() as session:
        await SpanRepository(session).add(run.spans())

    async with database.transaction() as session:
        trace = await TraceService(session).get(org_id=org_id, run_id=run.run_id)

    assert (run.run_id, 11, 200) == (trace.run_id, trace.totals.span_count, trace.totals.cost_micro_usd)
    assert trace.is_complete
    assert not trace.is_cut


async def test_a_run_of_another_organisation_has_no_trace(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    async with database.transaction() as session:
        await SpanRepository(session).add(run.spans())

    async with database.transaction() as session:
        with pytest.raises(TraceNotFound) as refusal:
            await TraceService(session).get(org_id="org_other", run_id=run.run_id)

    assert run.run_id == refusal.value.run_id


async def test_a_trace_past_the_bound_is_cut_and_says_so(
    database: Database, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.service.MAX_TRACE_SPANS", 3)
    run = SampleRun(org_id)
    async with database.transaction() as session:
        await SpanRepository(session).add(run.spans())

    async with database.transaction() as session:
        trace = await TraceService(session).get(org_id=org_id, run_id=run.run_id)

    assert trace.is_cut
    assert trace.totals.span_count == 3
