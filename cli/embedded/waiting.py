"""Waiting for a condition with a deadline, and the questions by which a part is known to be ready."""

import http.client
import socket
import threading
import time
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
_PROBE_TIMEOUT_SECONDS = 2.0
_HTTP_OK = 200


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout_seconds: float,
    cancelled: threading.Event | None = None,
    interval_seconds: float = 0.05,
) -> bool:
    """Whether `condition` came true before the deadline; ends early, with False, when `cancelled` is set."""
    cancelled = cancelled or threading.Event()
    deadline = time.monotonic() + timeout_seconds
    while not cancelled.is_set():
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        cancelled.wait(interval_seconds)
    return False


def answers_http(port: int, path: str) -> bool:
    """Whether `GET path` on this machine's `port` answers 200; no proxy is asked."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == _HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def accepts_connections(port: int) -> bool:
    """Whether something listens on this machine's `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PROBE_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False
