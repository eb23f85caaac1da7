"""The OpenAPI document as programs read it, and the development key."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from agentflow.errors import ConfigurationError
from agentflow.settings import Settings
from agentflow.tenant_repository import DEV_ORG_ID, new_api_key
from api.app import create_app
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import caller
from tests.workflows.platform import Platform

#: The first part of a path → how a request to it may be authenticated.
WAYS_IN = {"api": [["bearer"], ["apiKey"]], "codec": [["codecKey"], ["codecPassword"]]}


@pytest.fixture
async def document(anonymous: httpx.AsyncClient) -> dict[str, Any]:
    answer = await anonymous.get("/openapi.json")
    assert 200 == answer.status_code
    found: dict[str, Any] = answer.json()
    return found


def operations_of(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]


def test_the_document_builds_the_same_twice(settings: Settings) -> None:
    app = create_app(settings)  # Warnings, such as that of an operation id given twice, are errors here.

    assert app.openapi() == app.openapi()


def test_every_operation_has_an_id_of_its_own_and_a_summary(document: dict[str, Any]) -> None:
    operations = operations_of(document)

    ids = [operation["operationId"] for _, operation in operations]
    assert len(ids) == len(set(ids)) > 15
    assert all(operation_id.isidentifier() for operation_id in ids)
    assert all(operation["summary"] and operation["tags"] for _, operation in operations)


def test_every_operation_tells_of_problem_documents(document: dict[str, Any]) -> None:
    for path, operation in operations_of(document):
        problems = {
            status
            for status, response in operation["responses"].items()
            if "application/problem+json" in response.get("content", {})
        }
        expected = {"401", "422", "500", "503"} if path.startswith("/api/") else {"500"}
        assert expected <= problems, path
        if "requestBody" in operation:
            assert {"400", "413"} <= problems, path


def test_every_operation_on_data_names_both_ways_to_send_a_key(document: dict[str, Any]) -> None:
    for path, operation in operations_of(document):
        ways = [sorted(way) for way in operation.get("security", [])]
        assert WAYS_IN.get(path.split("/")[1], []) == ways, path


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    references: set[str] = set()
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            references |= {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert "#/components/schemas/Problem" in references
    assert references <= schemas


async def test_the_key_in_the_development_file_lets_the_developer_in(
    settings: Settings, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file, api_key = tmp_path / "api.key", new_api_key()
    key_file.write_text(f"{api_key}\n")
    monkeypatch.setenv("AGENTFLOW_DEV_API_KEY_FILE", str(key_file))

    for _ in range(2):  # A stack starts more than once.
        with ApiServer(settings) as server:
            async with caller(server.url, api_key) as api:
                assert 200 == (await api.get("/api/v1/workflows")).status_code

    rows = await platform.rows("SELECT name FROM api_keys WHERE org_id = :org_id", org_id=DEV_ORG_ID)
    assert [{"name": "development"}] == rows


def test_a_development_file_that_is_not_there_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_DEV_API_KEY_FILE", str(tmp_path / "absent"))

    with pytest.raises(ConfigurationError, match="absent"):
        create_app(settings)
