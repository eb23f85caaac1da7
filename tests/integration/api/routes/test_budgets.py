import httpx
import pytest

from tests.integration.api.documents import ended, register_talk, submit
from tests.integration.api.problems import problem_of


async def test_a_budget_is_created_as_the_specification_says(api: httpx.AsyncClient) -> None:
    body = {"period_type": "monthly", "limit_cents": 100000}

    created = await api.post("/api/v1/budgets", json=body)

    assert 201 == created.status_code
    assert body == {name: created.json()[name] for name in body}
    assert [created.json()] == (await api.get("/api/v1/budgets")).json()["items"]


async def test_the_status_of_a_fresh_budget_is_that_all_of_it_is_left(api: httpx.AsyncClient) -> None:
    await api.post("/api/v1/budgets", json={"period_type": "daily", "limit_cents": 250})

    [state] = (await api.get("/api/v1/budgets/status")).json()["items"]

    assert (250, 0, 0, 250) == tuple(
        state[name] for name in ("limit_cents", "spent_cents", "held_cents", "remaining_cents")
    )
    assert state["window_start"].endswith("T00:00:00Z")


async def test_what_a_run_spends_is_missing_from_the_budget(api: httpx.AsyncClient) -> None:
    await register_talk(api)
    await api.post("/api/v1/budgets", json={"period_type": "weekly", "limit_cents": 250})

    run = await ended(api, (await submit(api, "talk", topic="money"))["run_id"])

    [state] = (await api.get("/api/v1/budgets/status")).json()["items"]
    assert 0 < run["cost_micro_usd"] < 10_000
    assert (1, 0, 249) == (state["spent_cents"], state["held_cents"], state["remaining_cents"])


async def test_a_run_stops_where_the_budget_ends(api: httpx.AsyncClient) -> None:
    await register_talk(api)
    await api.post("/api/v1/budgets", json={"period_type": "daily", "limit_cents": 0})

    run = await ended(api, (await submit(api, "talk", topic="no money"))["run_id"])

    assert ("failed", "budget.exceeded", "say") == (run["state"], run["error"]["code"], run["error"]["node_id"])


async def test_the_budget_of_a_run_is_not_among_the_organisations(api: httpx.AsyncClient) -> None:
    await register_talk(api)
    body = {"workflow_name": "talk", "inputs": {"topic": "pocket money"}, "budget_cents": 3}

    run = await ended(api, (await api.post("/api/v1/workflows/runs", json=body)).json()["run_id"])

    assert ("succeeded", 3) == (run["state"], run["budget_cents"])
    assert [] == (await api.get("/api/v1/budgets")).json()["items"]


@pytest.mark.parametrize(
    "change",
    [
        {"limit_cents": -1},
        {"limit_cents": 10**12 + 1},
        {"limit_cents": 10**30},
        {"limit_cents": 1.5},
        {"limit_cents": "5"},
        {"limit_cents": True},
        {"limit_cents": None},
        {"period_type": "run"},
        {"period_type": "yearly"},
        {"more": 1},
    ],
)
async def test_a_budget_that_cannot_be_is_not_stored(api: httpx.AsyncClient, change: dict[str, object]) -> None:
    body = {"period_type": "daily", "limit_cents": 5} | change

    [detail] = problem_of(await api.post("/api/v1/budgets", json=body), status=422, code="request.invalid")["errors"]

    assert f"$.{next(iter(change))}" == detail["path"]
    assert [] == (await api.get("/api/v1/budgets")).json()["items"]
