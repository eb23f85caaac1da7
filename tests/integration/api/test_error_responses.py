import httpx
import pytest

from tests.integration.api.documents import register_echo
from tests.integration.api.problems import problem_of

RUNS, PROMPTS = "/api/v1/workflows/runs", "/api/v1/prompts"
JSON = {"Content-Type": "application/json"}


def run_of(value: str) -> str:
    return f'{{"workflow_name":"echo","inputs":{{"value":{value}}}}}'


def prompt_of(schema: str) -> str:
    return f'{{"name":"p","template":"x","schema":{schema}}}'


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/api/v1/nope", "/api/v1/workflows/", "/api/v1/workflows/a%2Fb", RUNS + "/"]
)
async def test_a_path_that_is_not_there_is_a_problem(api: httpx.AsyncClient, path: str) -> None:
    problem_of(await api.get(path), status=404, code="request.no_such_path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", RUNS, "GET, POST"),
        ("DELETE", PROMPTS, "GET, POST"),
        ("BREW", "/api/v1/budgets", "GET, POST"),
        ("GET", f"{RUNS}/run_1/cancel", "POST"),
        ("POST", "/health", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_a_problem_that_names_those_it_does(
    api: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await api.request(method, path)

    problem_of(answer, status=405, code="request.method_not_allowed")
    assert allowed == answer.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [b"nope", b"{", b"\xff\xfe", run_of("[" * 5000 + "]" * 5000).encode(), run_of("9" * 5000).encode()],
    ids=["no JSON", "half", "no UTF-8", "nested beyond reading", "a number beyond reading"],
)
@pytest.mark.parametrize("path", [RUNS, PROMPTS, "/api/v1/budgets", "/api/v1/prompts/deployments"])
async def test_a_body_that_is_no_json_is_refused(api: httpx.AsyncClient, path: str, body: bytes) -> None:
    problem_of(await api.post(path, content=body, headers=JSON), status=400, code="request.unreadable")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"7"])
@pytest.mark.parametrize("path", [RUNS, PROMPTS, "/api/v1/budgets", "/api/v1/prompts/deployments"])
async def test_a_body_that_is_no_object_is_refused(api: httpx.AsyncClient, path: str, body: bytes) -> None:
    problem_of(await api.post(path, content=body, headers=JSON), status=422, code="request.invalid")


@pytest.mark.parametrize(
    "value",
    [r'"\ud800"', r'{"\udfff":1}', r'"a\u0000b"', r'[{"\u0000":1}]', "NaN", "-Infinity", "1e400", "[" * 64 + "]" * 64],
)
async def test_inputs_that_cannot_be_stored_or_shown_start_nothing(api: httpx.AsyncClient, value: str) -> None:
    await register_echo(api)

    answer = await api.post(RUNS, content=run_of(value), headers=JSON)

    assert 422 == answer.status_code, answer.text
    problem_of(answer, status=422, code=answer.json()["code"])
    assert [] == (await api.get(RUNS)).json()["items"]


@pytest.mark.parametrize("field", ["workflow_version", "budget_cents"])
@pytest.mark.parametrize("number", ["-1", "9" * 30, "1e30", "1.5", "true", '"1"'])
async def test_a_number_beyond_its_bounds_is_refused(api: httpx.AsyncClient, field: str, number: str) -> None:
    await register_echo(api)
    body = f'{{"workflow_name":"echo","inputs":{{"value":1}},"{field}":{number}}}'

    [detail] = problem_of(await api.post(RUNS, content=body, headers=JSON), status=422, code="request.invalid")[
        "errors"
    ]

    assert f"$.{field}" == detail["path"]
    assert [] == (await api.get(RUNS)).json()["items"]


@pytest.mark.parametrize(
    "body",
    [
        r'{"name":"p","template":"\ud800"}',
        r'{"name":"p","template":"a\u0000"}',
        r'{"name":"p\u0000","template":"x"}',
        r'{"name":"p\ud800","template":"x"}',
        r'{"name":"p","template":"x","more\ud800":1}',
        prompt_of(r'{"title":"\ud800"}'),
        prompt_of(r'{"\u0000":1}'),
        prompt_of('{"maximum":1e400}'),
        prompt_of('{"not":' * 300 + "{}" + "}" * 300),
    ],
)
async def test_a_prompt_that_cannot_be_stored_or_shown_is_refused(api: httpx.AsyncClient, body: str) -> None:
    answer = await api.post(PROMPTS, content=body, headers=JSON)

    assert 422 == answer.status_code, answer.text
    problem_of(answer, status=422, code=answer.json()["code"])
    assert [] == (await api.get(PROMPTS)).json()["items"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/workflows/%00",
        f"{RUNS}/%00",
        f"{RUNS}?workflow_name=%00",
        f"{PROMPTS}/%00",
        f"{PROMPTS}/%00/1",
        f"{PROMPTS}/deployments/%00",
        "/api/v1/traces/%00",
    ],
)
async def test_a_name_with_a_nul_character_is_refused(api: httpx.AsyncClient, path: str) -> None:
    problem_of(await api.get(path), status=422, code="request.unstorable_text")


@pytest.mark.parametrize("path", [f"{PROMPTS}/p/0", f"{PROMPTS}/p/-1", f"{PROMPTS}/p/{'9' * 30}", f"{PROMPTS}/p/x"])
async def test_a_version_that_is_no_number_of_a_version_is_refused(api: httpx.AsyncClient, path: str) -> None:
    [detail] = problem_of(await api.get(path), status=422, code="request.invalid")["errors"]

    assert "path.version" == detail["path"]


@pytest.mark.parametrize("state", ["odd", "SUCCEEDED", ""])
async def test_a_state_that_no_run_can_have_is_refused(api: httpx.AsyncClient, state: str) -> None:
    problem_of(await api.get(RUNS, params={"state": state}), status=422, code="request.invalid")


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_idempotency_key_beyond_its_bounds_is_refused(api: httpx.AsyncClient, key: str) -> None:
    await register_echo(api)
    body = {"workflow_name": "echo", "inputs": {"value": 1}}

    answer = await api.post(RUNS, json=body, headers={"Idempotency-Key": key})

    [detail] = problem_of(answer, status=422, code="request.invalid")["errors"]
    assert "header.idempotency-key" == detail["path"]
