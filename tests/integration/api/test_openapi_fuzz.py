"""The server against its own OpenAPI document: generated requests, good and bad, and every answer held against it."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.openapi import from_url
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from agentflow.database import Database
from agentflow.settings import Settings
from api.app import create_app
from api.codec_access import CODEC_PATH
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import CODEC_KEY, PAYLOAD_KEY, Tenant, caller, new_tenant
from tests.integration.api.documents import ended, register_talk, submit

#: For each operation and each kind of request, those that fit the document and those that do not.
MAX_EXAMPLES = 40
#: Names, cursors and documents have rules that a schema cannot say: a request may fit it and still be refused.
EXCLUDED: list[CheckFunction] = [positive_data_acceptance]
#: What may be answered to a request that does not fit the document.
REFUSALS = ["400", "401", "404", "405", "409", "413", "422"]
#: What says where a message ends (RFC 9112, section 6). With a wrong one it is no HTTP, and never reaches the API.
FRAMING = frozenset({"transfer-encoding", "content-length"})
APPLICATION = Settings(
    database_url="postgresql://127.0.0.1/none",
    payload_keys={"a": PAYLOAD_KEY},
    payload_key_id="a",
    codec_endpoint_key=CODEC_KEY,
)
OPERATIONS = [
    str(operation["operationId"])
    for operations in create_app(APPLICATION).openapi()["paths"].values()
    for operation in operations.values()
]


@pytest.fixture(scope="session")
async def explorer(database: Database) -> Tenant:
    return await new_tenant(database)


@pytest.fixture(scope="session")
async def schema(server: ApiServer) -> OpenApiSchema:
    load_all_checks()
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
    return await asyncio.to_thread(from_url, f"{server.url}/openapi.json", config=config)


def call(case: Case[Any], tenant: Tenant) -> int:
    """The status of an answer, which must be as the document says and no server error."""
    key = CODEC_KEY if case.path.startswith(CODEC_PATH) else tenant.api_key
    headers = {"Authorization": f"Bearer {key}"}
    for name in [name for name in case.headers or () if name.lower() in FRAMING]:
        del case.headers[name]
    return int(case.call_and_validate(headers=headers, excluded_checks=EXCLUDED).status_code)


@pytest.mark.parametrize("operation_id", OPERATIONS)
async def test_whatever_is_asked_the_answer_is_as_the_document_says(
    schema: OpenApiSchema, explorer: Tenant, operation_id: str
) -> None:
    operation = schema.find_operation_by_id(operation_id)

    def explore(mode: GenerationMode) -> int:
        calls = 0

        @seed(20_260_101)
        @settings(
            max_examples=MAX_EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Case[Any]) -> None:
            nonlocal calls
            calls += 1
            call(case, explorer)

        ask()
        return calls

    # On a thread, for hypothesis blocks, and the workers are on this loop.
    assert await asyncio.to_thread(explore, GenerationMode.POSITIVE) > 0
    has_parameters = bool(list(operation.iter_parameters())) or bool(operation.body)
    if has_parameters:
        assert await asyncio.to_thread(explore, GenerationMode.NEGATIVE) > 0


async def test_what_is_told_of_things_that_are_there_is_as_the_document_says(
    server: ApiServer, schema: OpenApiSchema, tenant: Tenant
) -> None:
    async with caller(server.url, tenant.api_key) as api:
        await register_talk(api)
        await api.post("/api/v1/budgets", json={"period_type": "daily", "limit_cents": 100})
        await api.post("/api/v1/prompts/deployments", json={"prompt_name": "speaker", "stable_version": 1})
        run_id = (await submit(api, "talk", topic="schemas"))["run_id"]
        await ended(api, run_id)
    asked: dict[str, dict[str, object]] = {
        "get_workflow": {"name": "talk"},
        "list_workflows": {},
        "get_run": {"run_id": run_id},
        "list_runs": {},
        "get_trace": {"run_id": run_id},
        "get_latest_prompt": {"name": "speaker"},
        "get_prompt": {"name": "speaker", "version": 1},
        "get_deployment": {"name": "speaker"},
        "list_prompts": {},
        "list_budgets": {},
        "budget_status": {},
    }

    for operation_id, parameters in asked.items():
        case = schema.find_operation_by_id(operation_id).Case(path_parameters=parameters)
        assert 200 == await asyncio.to_thread(call, case, tenant), operation_id
