import socket
from collections.abc import Iterator

import httpx
import pytest

from bench.chaos.effect_service import Deeds, Effect, EffectService, effect_asked_for
from cli.embedded.waiting import wait_until


@pytest.fixture
def service() -> Iterator[EffectService]:
    with EffectService() as service:
        yield service


def only(service: EffectService) -> Deeds:
    [deeds] = service.deeds().values()
    return deeds


def test_a_deed_is_counted_for_its_step_and_answered(service: EffectService) -> None:
    answer = httpx.post(f"http://{service.host}/plain/run/order/2", json={})

    assert (200, {"receipt": "order 2"}) == (answer.status_code, answer.json())
    assert {Effect(method="POST", tag="run", node_id="order", item_index=2)} == set(service.deeds())
    assert service.has_performed(Effect(method="POST", tag="run", node_id="order", item_index=2))
    assert not service.has_performed(Effect(method="POST", tag="run", node_id="order", item_index=1))


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("http.request", {"method": "POST", "url": "http://127.0.0.1:1/plain/run/pay?call:0.1"}),
        ("mcp:effects/pay", {"path": "/plain/run/pay?call:0.1"}),
    ],
)
def test_what_a_step_in_doubt_asks_for_is_read_from_its_arguments(tool: str, arguments: dict[str, str]) -> None:
    effect = effect_asked_for(tool, arguments)

    assert Effect(method="POST", tag="run", node_id="pay", part="call:0.1") == effect
    assert {"receipt": "pay call:0.1"} == effect.receipt


def test_a_known_idempotency_key_does_nothing_again(service: EffectService) -> None:
    for key in ("a", "a", "b"):
        httpx.put(f"http://{service.host}/plain/run/store", json={}, headers={"Idempotency-Key": key})

    assert (3, 2, ("a", "b")) == (only(service).requests, only(service).performed, only(service).keys)


@pytest.mark.parametrize(("behaviour", "performed"), [("mute", 1), ("idle", 0)])
def test_a_service_that_answers_500_may_have_done_it_or_not(
    service: EffectService, behaviour: str, performed: int
) -> None:
    answers = [httpx.post(f"http://{service.host}/{behaviour}/run/pay", json={}).status_code for _ in range(2)]

    assert [500, 200] == answers
    assert performed + 1 == only(service).performed


def test_a_deed_whose_client_is_gone_before_the_answer_was_done_unheard(service: EffectService) -> None:
    host, _, port = service.host.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /plain/run/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert wait_until(lambda: bool(service.deeds()), timeout_seconds=5)

    assert wait_until(lambda: only(service).unheard == 1, timeout_seconds=5)
    assert 1 == only(service).performed
