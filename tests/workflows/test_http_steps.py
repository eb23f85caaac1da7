"""`http.request` in a run, against a service that counts: asked as often as its method allows, and no more."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runs.models import StepState
from tests.unit.activities.tools.http_service import HttpService, answer
from tests.workflows.documents import QUICK_RETRY, dag
from tests.workflows.platform import Platform, succeeded
from tests.workflows.test_doubts import NOT_PERFORMED, resolve
from tests.workflows.test_gates import opened


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


def asking(service: HttpService, **arguments: Any) -> dict[str, Any]:
    config = {"tool_name": "http.request", "tool_args": {"url": service.url, **arguments}}
    node = {"id": "ask", "type": "tool", "config": config, "retry": {**QUICK_RETRY, "attempts": 4}}
    return dag("asking", node, outputs={"status": "ask.output.status"})


@pytest.mark.parametrize("arguments", [{"method": "PUT"}, {"method": "POST", "idempotent": True}])
async def test_what_may_be_repeated_is_repeated_with_one_key(
    platform: Platform, service: HttpService, org_id: str, arguments: dict[str, Any]
) -> None:
    service.answers = [None, answer(500), answer(201)]

    view = succeeded(await platform.run(org_id, asking(service, **arguments)))

    keys = [asked.headers["idempotency-key"] for asked in service.asked]
    assert ({"status": 201}, 3, 1) == (view.outputs, len(keys), len(set(keys)))


async def test_what_must_not_be_repeated_is_turned_away_and_tried_again_but_lost_only_once(
    platform: Platform, service: HttpService, org_id: str
) -> None:
    service.answers = [answer(429, retry_after="0"), answer(503, retry_after="0"), None, answer(201)]
    await platform.register(org_id, asking(service, method="POST", json={"order": 1}))
    run_id = await platform.submit(org_id, "asking")
    gate = await opened(platform, org_id, run_id)
    asked_before = len(service.asked)

    await resolve(platform, gate, NOT_PERFORMED)
    view = succeeded(await platform.ended(org_id, run_id))

    assert (3, 4, {"status": 201}) == (asked_before, len(service.asked), view.outputs)
    (step,) = await platform.steps(org_id, run_id)
    assert (StepState.COMMITTED, 0) == (step.state, step.possible_duplicates)


async def test_a_read_is_repeated_whatever_breaks(platform: Platform, service: HttpService, org_id: str) -> None:
    service.answers = [None, answer(502), answer(200)]

    assert {"status": 200} == succeeded(await platform.run(org_id, asking(service))).outputs
    assert 3 == len(service.asked)


async def test_what_a_refusal_says_is_shown_with_the_node_and_stays_out_of_history(
    platform: Platform, service: HttpService, org_id: str
) -> None:
    service.answers = [answer(422, b'{"detail": "amount must be a text"}', content_type="application/json")]

    view = await platform.run(org_id, asking(service, method="POST", json={"order": 1}))

    assert ("tool.request_refused", 1) == (view.nodes[0].error_code, len(service.asked))
    assert "amount must be a text" in str(view.nodes[0].error_message)
    assert "amount must be a text" not in str(view.run.error_message)


async def test_a_page_in_another_charset_goes_through_a_run(
    platform: Platform, service: HttpService, org_id: str
) -> None:
    page = "<h1>Fähre</h1><p>zwischen Nørre und Süd</p>".encode("latin-1")
    service.answers = [answer(200, page, content_type="text/html; charset=ISO-8859-1")]
    fetch = {"tool_name": "http.request", "tool_args": {"url": service.url, "as": "document"}}
    read = {"tool_name": "document.extract_text", "tool_args": {"document": "{{ fetch.output.document }}"}}
    document = dag(
        "reading",
        {"id": "fetch", "type": "tool", "config": fetch},
        {"id": "read", "type": "tool", "config": read, "depends": ["fetch"]},
        outputs={"text": "read.output.text"},
    )

    assert {"text": "Fähre\n\nzwischen Nørre und Süd"} == succeeded(await platform.run(org_id, document)).outputs
