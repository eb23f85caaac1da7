"""agentflow.client against the real server, and against none."""

import asyncio
import traceback
from collections.abc import Callable
from typing import TypeVar

import pytest

from agentflow.client import AgentflowClient, ApiRequestFailed, ApiUnreachable, WaitTimedOut
from agentflow.client_types import RunDocument
from agentflow.errors import ConfigurationError
from agentflow.tenant_repository import new_api_key
from cli.embedded.ports import free_port
from cli.embedded.temporal_server import TemporalDevServer
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import Tenant
from tests.integration.api.documents import CONTENT_SCHEMA
from tests.integration.api.relay import Relay
from tests.scripted_provider import Hold
from tests.specification_document import DOCUMENT_ANALYSIS
from tests.workflows.platform import Platform

ECHO = """\
name: echo
nodes:
  - id: show
    type: function
    config: {function_name: json_projection, inputs: {value: inputs.value}}
outputs: {value: show.output.value}
"""
_Answer = TypeVar("_Answer")


async def ask(url: str, api_key: str | None, question: Callable[[AgentflowClient], _Answer]) -> _Answer:
    """The answer of a client that blocks a thread of its own."""

    def blocking() -> _Answer:
        with AgentflowClient(url, api_key=api_key) as client:
            return question(client)

    return await asyncio.to_thread(blocking)


async def test_a_program_does_all_of_it_through_the_client(server: ApiServer, tenant: Tenant) -> None:
    def program(client: AgentflowClient) -> RunDocument:
        assert client.is_ready()
        assert "ok" == client.readiness()["status"]
        for text in ("One {{content}}", "Two {{content}}", "Analyze: {{content}}"):
            prompt = client.create_prompt(name="document_analyzer", template=text, schema=CONTENT_SCHEMA)
        assert prompt == client.get_prompt("document_analyzer") == client.get_prompt("document_analyzer", 3)
        assert 3 == client.deploy_prompt("document_analyzer", stable_version=3)["stable_version"]
        assert ["document_analyzer"] == [item["name"] for item in client.list_prompts()["items"]]
        budget = client.create_budget(period_type="monthly", limit_cents=100_000)
        assert [budget] == client.list_budgets()["items"]
        assert ["ingest", "analyze"] == [node["id"] for node in client.validate_workflow(DOCUMENT_ANALYSIS)["nodes"]]
        assert 1 == client.register_workflow(DOCUMENT_ANALYSIS)["version"]
        assert ["document_analysis"] == [item["name"] for item in client.list_workflows()["items"]]
        assert client.get_workflow("document_analysis") == client.get_workflow("document_analysis", version=1)
        inputs = {"document_key": "sample.txt"}
        run = client.wait(client.submit_run("document_analysis", inputs=inputs, budget_cents=1000)["run_id"])
        assert [run["run_id"]] == [item["run_id"] for item in client.list_runs(state="succeeded")["items"]]
        assert ["ingest", "analyze"] == [node["id"] for node in client.get_run_graph(run["run_id"])["nodes"]]
        assert run["trace_id"] == client.get_trace(run["run_id"])["trace_id"]
        assert 1 == client.budget_status()["items"][0]["spent_cents"]
        return run

    run = await ask(server.url, tenant.api_key, program)

    assert ("succeeded", 1000) == (run["state"], run["budget_cents"])


async def test_a_refusal_tells_its_status_its_code_and_every_problem(server: ApiServer, tenant: Tenant) -> None:
    with pytest.raises(ApiRequestFailed) as refusal:
        await ask(server.url, tenant.api_key, lambda client: client.register_workflow(DOCUMENT_ANALYSIS))

    [problem] = refusal.value.problems
    assert (422, "spec.invalid") == (refusal.value.status, refusal.value.problem_code)
    assert "$.nodes[1].config.prompt_ref" == problem["path"]
    assert refusal.value.detail == str(refusal.value)


async def test_a_client_without_a_key_is_refused(server: ApiServer) -> None:
    with pytest.raises(ApiRequestFailed) as refusal:
        await ask(server.url, None, lambda client: client.list_runs())

    assert (401, "auth.not_authenticated") == (refusal.value.status, refusal.value.problem_code)


async def test_a_get_is_repeated_while_the_server_is_away(server: ApiServer, tenant: Tenant) -> None:
    async with Relay(server.port, "refused", "refused") as relay:
        page = await ask(relay.url, tenant.api_key, lambda client: client.list_runs())

    assert [] == page["items"]
    assert 3 == relay.connections


async def test_a_submission_whose_answer_is_lost_gives_one_run(server: ApiServer, tenant: Tenant) -> None:
    await ask(server.url, tenant.api_key, lambda client: client.register_workflow(ECHO))

    async with Relay(server.port, "unanswered") as relay:
        run = await ask(relay.url, tenant.api_key, lambda client: client.submit_run("echo", inputs={"value": 1}))

    assert 2 == relay.connections
    runs = await ask(server.url, tenant.api_key, lambda client: client.list_runs())
    assert [run["run_id"]] == [item["run_id"] for item in runs["items"]]


async def test_a_request_that_would_act_twice_is_not_repeated(server: ApiServer, tenant: Tenant) -> None:
    async with Relay(server.port, "unanswered") as relay:
        with pytest.raises(ApiUnreachable):
            await ask(
                relay.url, tenant.api_key, lambda client: client.create_budget(period_type="daily", limit_cents=1)
            )

    assert 1 == relay.connections
    assert 1 == len((await ask(server.url, tenant.api_key, lambda client: client.list_budgets()))["items"])


async def test_where_nothing_listens_the_client_names_the_address_and_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ApiUnreachable, match="agentctl dev") as refusal:
        await ask(url, None, lambda client: client.create_budget(period_type="daily", limit_cents=1))

    assert url == refusal.value.url
    assert url in str(refusal.value)
    assert not await ask(url, None, lambda client: client.is_ready())


@pytest.mark.parametrize("url", ["http://127.0.0.1:no-port", "nothing", "ftp://127.0.0.1"])
async def test_an_address_that_is_none_is_unreachable(url: str) -> None:
    with pytest.raises(ApiUnreachable):
        await ask(url, None, lambda client: client.create_budget(period_type="daily", limit_cents=1))


async def test_an_address_where_something_else_answers_is_unreachable(temporal_server: TemporalDevServer) -> None:
    with pytest.raises(ApiUnreachable, match="JSON"):
        await ask(f"{temporal_server.ui_url}/namespaces/default", None, lambda client: client.list_runs())


@pytest.mark.parametrize("run_id", ["..", ".", "../../prompts", "a/b", "a?b", "a#b", "%2e%2e", "\udc80", "run 1"])
async def test_an_id_never_leads_to_another_path(server: ApiServer, tenant: Tenant, run_id: str) -> None:
    with pytest.raises(ApiRequestFailed) as refusal:
        await ask(server.url, tenant.api_key, lambda client: client.get_run(run_id))

    assert 404 == refusal.value.status


async def test_waiting_ends_in_time_and_the_run_goes_on(server: ApiServer, tenant: Tenant, platform: Platform) -> None:
    calls = len(platform.provider.requests)
    platform.provider.script(Hold())
    seen: list[str] = []

    def program(client: AgentflowClient) -> str:
        client.create_prompt(name="document_analyzer", template="Wait for {{content}}", schema=CONTENT_SCHEMA)
        client.register_workflow(DOCUMENT_ANALYSIS.replace("@3", "@1"))
        return client.submit_run("document_analysis", inputs={"document_key": "sample.txt"})["run_id"]

    run_id = await ask(server.url, tenant.api_key, program)
    await platform.provider.received(calls + 1)
    with pytest.raises(WaitTimedOut) as refusal:
        await ask(
            server.url,
            tenant.api_key,
            lambda client: client.wait(
                run_id, timeout_seconds=0.1, interval_seconds=0.02, on_update=lambda run: seen.append(run["state"])
            ),
        )
    running = await ask(server.url, tenant.api_key, lambda client: client.get_run(run_id))
    await ask(server.url, tenant.api_key, lambda client: client.cancel_run(run_id))
    ended = await ask(server.url, tenant.api_key, lambda client: client.wait(run_id, timeout_seconds=60))

    assert (run_id, 0.1) == (refusal.value.run_id, refusal.value.seconds)
    assert {"running"} == set(seen)
    assert ("running", "cancelled") == (running["state"], ended["state"])


@pytest.mark.parametrize("ending", ["", "\n", " ", "é", "\x00", "\r\nX-Other: 1"])
async def test_a_key_is_in_no_message_and_in_no_repr(ending: str) -> None:
    api_key = new_api_key()
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises((ApiUnreachable, ConfigurationError)) as refusal:
        await ask(url, api_key + ending, lambda client: client.create_budget(period_type="daily", limit_cents=1))

    assert (ApiUnreachable if ending == "" else ConfigurationError) is refusal.type
    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value) + str(vars(refusal.value))
    assert api_key not in told


async def test_a_client_does_not_show_its_key(server: ApiServer, tenant: Tenant) -> None:
    with AgentflowClient(server.url, api_key=tenant.api_key) as client:
        shown = repr(client) + str(client) + repr(client._http) + repr(client._http.headers)

    assert tenant.api_key not in shown
