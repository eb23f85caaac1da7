import threading

from cli.embedded.ports import free_port
from cli.embedded.waiting import accepts_connections, answers_http, wait_until


def test_a_condition_that_comes_true_ends_the_wait() -> None:
    answers = iter([False, False, True])

    assert wait_until(lambda: next(answers), timeout_seconds=10, interval_seconds=0.001)


def test_a_condition_that_stays_false_ends_with_the_deadline() -> None:
    assert not wait_until(lambda: False, timeout_seconds=0.01, interval_seconds=0.001)


def test_a_cancelled_wait_does_not_ask_again() -> None:
    cancelled = threading.Event()
    asked = []

    def condition() -> bool:
        asked.append(1)
        cancelled.set()
        return False

    assert not wait_until(condition, timeout_seconds=10, cancelled=cancelled)
    assert asked == [1]


def test_a_port_without_a_listener_answers_nothing() -> None:
    port = free_port()

    assert not accepts_connections(port)
    assert not answers_http(port, "/health")
