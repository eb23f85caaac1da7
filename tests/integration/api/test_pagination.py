import httpx
import pytest

from api.pagination import encode_cursor
from tests.integration.api.documents import register_echo, submit, whole_list
from tests.integration.api.problems import problem_of

LISTS = ["workflows", "workflows/runs", "prompts", "budgets", "budgets/status"]


async def fill(api: httpx.AsyncClient, count: int) -> None:
    for number in range(count):
        await register_echo(api, f"echo{number}")
        await submit(api, f"echo{number}", value=number)
        await api.post("/api/v1/prompts", json={"name": f"prompt{number}", "template": "x"})
        await api.post("/api/v1/budgets", json={"period_type": "daily", "limit_cents": number})


async def test_every_list_gives_each_item_once_whatever_the_page(api: httpx.AsyncClient) -> None:
    await fill(api, 5)
    identity = {"workflows/runs": "run_id", "budgets": "budget_id", "budgets/status": "budget_id"}

    for path in LISTS:
        key = identity.get(path, "name")
        whole, sizes = await whole_list(api, f"/api/v1/{path}", limit=200)
        assert [5] == sizes, path
        for limit, expected in ((1, [1] * 5), (2, [2, 2, 1]), (5, [5])):
            items, sizes = await whole_list(api, f"/api/v1/{path}", limit=limit)
            assert expected == sizes, path
            assert [item[key] for item in whole] == [item[key] for item in items], path
        keys = [item[key] for item in whole]
        assert sorted(keys, reverse=path == "workflows/runs") == keys, path


async def test_a_run_that_is_submitted_meanwhile_does_not_move_the_pages(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    runs = [(await submit(api, value=number))["run_id"] for number in range(4)]
    first = (await api.get("/api/v1/workflows/runs", params={"limit": 2})).json()
    await submit(api, value=4)

    second = (await api.get("/api/v1/workflows/runs", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert runs[::-1] == [run["run_id"] for page in (first, second) for run in page["items"]]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["zzz", "", "é", "MTp4\n", encode_cursor("nul \x00"), "Mjp4", "MTr/"])
async def test_a_cursor_that_no_page_ended_with_is_refused(api: httpx.AsyncClient, path: str, cursor: str) -> None:
    answer = await api.get(f"/api/v1/{path}", params={"cursor": cursor})

    problem_of(answer, status=400, code="page.cursor_invalid")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "-1"), ("limit", "201"), ("limit", "9" * 30), ("limit", "many"), ("cursor", "x" * 513)],
)
async def test_a_page_beyond_the_bounds_is_refused(api: httpx.AsyncClient, path: str, name: str, value: str) -> None:
    answer = await api.get(f"/api/v1/{path}", params={name: value})

    [detail] = problem_of(answer, status=422, code="request.invalid")["errors"]
    assert f"query.{name}" == detail["path"]
