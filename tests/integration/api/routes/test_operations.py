import httpx

from agentflow.settings import Settings
from cli.embedded.ports import free_port
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import Tenant, caller
from tests.integration.api.documents import register_echo, submit


async def test_a_server_is_healthy_and_ready_without_a_key(anonymous: httpx.AsyncClient) -> None:
    health, ready = await anonymous.get("/health"), await anonymous.get("/ready")

    assert (200, {"status": "ok"}) == (health.status_code, health.json())
    assert (200, {"status": "ok", "database": "ok", "temporal": "ok"}) == (ready.status_code, ready.json())


async def test_requests_are_counted_by_their_routes_template(api: httpx.AsyncClient) -> None:
    await api.get("/api/v1/workflows/runs/run_absent")
    await api.request("BREW", "/no/such/path")

    metrics = await api.get("/metrics")

    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    counted = 'agentflow_http_requests_total{method="GET",route="/api/v1/workflows/runs/{run_id}",status="404"}'
    assert counted in metrics.text
    assert 'agentflow_http_requests_total{method="_OTHER",route="unmatched",status="404"}' in metrics.text
    assert "run_absent" not in metrics.text


async def test_a_run_is_accepted_and_cancelled_while_temporal_is_away(settings: Settings, tenant: Tenant) -> None:
    away = settings.model_copy(update={"temporal_address": f"127.0.0.1:{free_port()}"})
    with ApiServer(away) as server:
        async with caller(server.url, tenant.api_key) as api:
            ready, health = await api.get("/ready"), await api.get("/health")
            await register_echo(api)
            run = await submit(api, value=1)
            cancelled = await api.post(f"/api/v1/workflows/runs/{run['run_id']}/cancel")

    assert 200 == health.status_code
    assert 503 == ready.status_code
    assert {"status": "unavailable", "database": "ok", "temporal": "unavailable"} == ready.json()
    assert "submitted" == run["state"]
    assert 202 == cancelled.status_code
    assert cancelled.json()["cancel_requested_at"] is not None


async def test_a_server_without_its_database_says_so(settings: Settings, tenant: Tenant) -> None:
    away = settings.model_copy(update={"database_url": f"postgresql://nobody@127.0.0.1:{free_port()}/none"})
    with ApiServer(away) as server:
        async with caller(server.url, tenant.api_key) as api:
            ready, answer = await api.get("/ready"), await api.get("/api/v1/workflows")

    assert (503, "unavailable") == (ready.status_code, ready.json()["database"])
    assert (503, "service.unavailable") == (answer.status_code, answer.json()["code"])
    assert "2" == answer.headers["retry-after"]
