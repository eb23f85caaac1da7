"""What attempts sent and got goes with their run, and with no other."""

import pytest

from agentflow.clock import SystemClock
from runs.exchange_repository import ExchangeRepository, StepExchange, exchange_statement
from tests.integration.runs.house import House

pytestmark = pytest.mark.integration


def exchange(org_id: str, run_id: str, number: int) -> StepExchange:
    now = SystemClock().now()
    return StepExchange(
        org_id=org_id,
        exchange_id=f"{run_id}/{number}",
        effect_key=f"step of {run_id}",
        run_id=run_id,
        attempt=number,
        status="error",
        error_code="answer.cut",
        error_message="it ends in the middle",
        began_at=now,
        ended_at=now,
        content={"messages": [{"role": "user", "text": "personal"}]},
    )


async def keep(house: House, org_id: str, run_id: str, attempts: int) -> None:
    async with house.database.transaction() as session:
        for number in range(attempts):
            statement = exchange_statement(exchange(org_id, run_id, number))
            await session.execute(statement.clause, statement.parameters)


async def attempts_of(house: House, org_id: str, run_id: str) -> list[int]:
    async with house.database.transaction() as session:
        kept = await ExchangeRepository(session).of_step(org_id=org_id, effect_key=f"step of {run_id}", limit=10)
    return sorted(each.attempt for each in kept)


async def test_exchanges_go_with_their_run_in_parts_and_those_of_other_runs_stay(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.housekeeping._ROWS_AT_ONCE", 2)
    old, young = await house.finished_run(days_ago=31), await house.finished_run(days_ago=29)
    await keep(house, house.org_id, old.run_id, 5)
    await keep(house, house.org_id, young.run_id, 3)
    await keep(house, f"{house.org_id}-other", old.run_id, 1)

    assert 1 <= await house.keeping(retention_days=30).remove_runs()

    assert [] == await attempts_of(house, house.org_id, old.run_id)
    assert [0, 1, 2] == await attempts_of(house, house.org_id, young.run_id)
    assert [0] == await attempts_of(house, f"{house.org_id}-other", old.run_id)
