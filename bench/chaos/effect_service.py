"""A service out in the world, which is never killed: it counts what was really done, and knows what was left unheard.

`METHOD /BEHAVIOUR/TAG/NODE[/ITEM][?PART]`: `plain` does it and says so; `mute` does it the first time and answers 500;
`idle` does nothing the first time and answers 500. PART is that of a step which is one of several of its node.
"""

import json
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cli.embedded.waiting import LOOPBACK

#: Between the deed and the answer: a kill is to find many in it.
LATENCY_SECONDS = 0.2
_CONTENT_LENGTH = "Content-Length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Which step asks for it."""

    method: str
    tag: str
    node_id: str
    item_index: int | None = None
    #: Which of the steps of its node.
    part: str | None = None

    @property
    def receipt(self) -> dict[str, str]:
        """What is answered for the deed: the same, whichever request of its step is answered."""
        item = None if self.item_index is None else str(self.item_index)
        return {"receipt": " ".join(filter(None, (self.node_id, item, self.part)))}


def effect_at(method: str, location: str) -> Effect:
    """The effect that a URL, or its path, is for."""
    url = urlsplit(location)
    _, _, tag, node_id, *item = url.path.split("/")
    return Effect(
        method=method, tag=tag, node_id=node_id, item_index=int(item[0]) if item else None, part=url.query or None
    )


def effect_asked_for(tool: str, arguments: Mapping[str, Any]) -> Effect:
    """The effect that a call of a tool is for: one of `http.request`, or of the tool server."""
    if tool == "http.request":
        return effect_at(arguments["method"], arguments["url"])
    return effect_at("POST", arguments["path"])


@dataclass(slots=True, kw_only=True)
class Deeds:
    """What came of the requests of one step."""

    requests: int = 0
    #: How often it was done: a repetition with a known key does nothing.
    performed: int = 0
    #: How often it was done while the other end was gone before it heard of it.
    unheard: int = 0
    keys: tuple[str, ...] = ()
    #: When it was done first, in seconds of a clock that only goes forward; None before.
    first_at: float | None = None


class EffectService:
    """The service on a free port of the loopback interface; use it as a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deeds: dict[Effect, Deeds] = defaultdict(Deeds)
        service = self

        class Handler(_Handler):
            def respond(self) -> None:
                service._respond(self)

        self._server = _Server((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="effects", daemon=True)

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self._server.server_address[1]}"

    def deeds(self) -> dict[Effect, Deeds]:
        with self._lock:
            return dict(self._deeds)

    def has_performed(self, effect: Effect) -> bool:
        """Whether it was done: what a person would look up."""
        return self.deeds().get(effect, Deeds()).performed > 0

    def perform(self, effect: Effect, *, key: str = "", idles_first: bool = False) -> tuple[bool, bool]:
        """Takes a request of the step; gives whether it was the first, and whether anything was done."""
        with self._lock:
            deeds = self._deeds[effect]
            deeds.requests += 1
            is_first = deeds.requests == 1
            is_known = bool(key) and key in deeds.keys
            is_done = not is_known and not (idles_first and is_first)
            if is_done:
                deeds.performed += 1
                deeds.first_at = deeds.first_at or time.monotonic()
            if key and not is_known:
                deeds.keys = (*deeds.keys, key)
        return is_first, is_done

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _respond(self, handler: "_Handler") -> None:
        effect, behaviour = effect_at(handler.command, handler.path), handler.path.split("/")[1]
        key = handler.headers.get("Idempotency-Key", "")
        is_first, is_done = self.perform(effect, key=key, idles_first=behaviour == "idle")
        time.sleep(LATENCY_SECONDS)
        if handler.is_gone():
            with self._lock:
                self._deeds[effect].unheard += is_done
            return
        fails = is_first and behaviour in {"mute", "idle"}
        handler.tell(500 if fails else 200, effect.receipt)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that are killed break their connections, and stderr is for kills."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: What the service does with a request.
    respond: Callable[[], None]

    def do_POST(self) -> None:  # the base class's names
        self.rfile.read(int(self.headers.get(_CONTENT_LENGTH, "0")))
        self.respond()

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.do_POST()

    def is_gone(self) -> bool:
        """Whether the other end has closed the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def tell(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header(_CONTENT_LENGTH, str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class's name
        """Nothing: stderr is for kills."""
