import httpx
import pytest

from tests.integration.api.problems import problem_of

ANALYZER = {
    "name": "document_analyzer",
    "template": "Analyze: {{content}}",
    "schema": {"type": "object", "properties": {"content": {"type": "string"}}},
}


async def versions(api: httpx.AsyncClient, count: int) -> None:
    for number in range(1, count + 1):
        body = ANALYZER | {"template": f"Analyze {number}: {{{{content}}}}"}
        assert number == (await api.post("/api/v1/prompts", json=body)).json()["version"]


async def test_a_prompt_is_created_as_the_specification_says_and_read_back(api: httpx.AsyncClient) -> None:
    created = await api.post("/api/v1/prompts", json=ANALYZER)

    prompt = created.json()
    assert 201 == created.status_code
    assert ANALYZER | {"version": 1} == {name: prompt[name] for name in (*ANALYZER, "version")}
    assert prompt == (await api.get("/api/v1/prompts/document_analyzer")).json()
    assert prompt == (await api.get("/api/v1/prompts/document_analyzer/1")).json()


async def test_equal_content_has_one_version_and_other_content_the_next(api: httpx.AsyncClient) -> None:
    answers = [
        await api.post("/api/v1/prompts", json=body) for body in (ANALYZER, ANALYZER, ANALYZER | {"schema": None})
    ]

    assert [1, 1, 2] == [answer.json()["version"] for answer in answers]


async def test_versions_are_deployed_as_the_specification_says(api: httpx.AsyncClient) -> None:
    await versions(api, 4)
    wish = {"prompt_name": "document_analyzer", "stable_version": 3, "canary_version": 4, "canary_ratio": 0.1}

    deployed = await api.post("/api/v1/prompts/deployments", json=wish)

    assert 200 == deployed.status_code
    assert wish | {"revision": 1} == {name: deployed.json()[name] for name in (*wish, "revision")}
    assert deployed.json() == (await api.get("/api/v1/prompts/deployments/document_analyzer")).json()


async def test_a_deployment_that_somebody_else_changed_is_not_overwritten(api: httpx.AsyncClient) -> None:
    await versions(api, 2)
    wish = {"prompt_name": "document_analyzer", "stable_version": 1, "expected_revision": 0}
    assert 200 == (await api.post("/api/v1/prompts/deployments", json=wish)).status_code

    answer = await api.post("/api/v1/prompts/deployments", json=wish | {"stable_version": 2})

    problem_of(answer, status=409, code="prompt.deployment_conflict")
    assert 1 == (await api.get("/api/v1/prompts/deployments/document_analyzer")).json()["stable_version"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/prompts/absent", "prompt.not_found"),
        ("/api/v1/prompts/absent/1", "prompt.not_found"),
        ("/api/v1/prompts/document_analyzer/2", "prompt.not_found"),
        ("/api/v1/prompts/deployments/absent", "prompt.not_found"),
        ("/api/v1/prompts/deployments/document_analyzer", "prompt.not_deployed"),
    ],
)
async def test_a_prompt_that_is_not_there_is_404(api: httpx.AsyncClient, path: str, code: str) -> None:
    await versions(api, 1)

    problem_of(await api.get(path), status=404, code=code)


async def test_a_version_that_is_not_there_cannot_be_deployed(api: httpx.AsyncClient) -> None:
    await versions(api, 1)
    wish = {"prompt_name": "document_analyzer", "stable_version": 2}

    problem_of(await api.post("/api/v1/prompts/deployments", json=wish), status=404, code="prompt.not_found")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "not a name"}, "prompt.name_invalid"),
        ({"template": "one\n{% if %}"}, "prompt.template_invalid"),
        ({"schema": {"type": 7}}, "prompt.schema_invalid"),
        ({"schema": {"$ref": "http://example.com/"}}, "prompt.schema_invalid"),
        ({"template": ""}, "request.invalid"),
        ({"more": 1}, "request.invalid"),
    ],
)
async def test_a_prompt_that_cannot_be_used_is_not_stored(
    api: httpx.AsyncClient, change: dict[str, object], code: str
) -> None:
    problem_of(await api.post("/api/v1/prompts", json=ANALYZER | change), status=422, code=code)

    assert [] == (await api.get("/api/v1/prompts")).json()["items"]


async def test_a_template_that_breaks_is_refused_with_its_line(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/prompts", json=ANALYZER | {"template": "one\n{% if %}"})

    [detail] = problem_of(answer, status=422, code="prompt.template_invalid")["errors"]
    assert ("$.template", 2) == (detail["path"], detail["line"])
