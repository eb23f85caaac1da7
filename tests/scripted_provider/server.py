"""The server: HTTP/1.1 by hand on asyncio, so that its own time stays far below what the benches measure."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from tests.deadline import PATIENCE_SECONDS, deadline
from tests.scripted_provider.behaviours import (
    Answer,
    Behaviour,
    BrokenStream,
    Drop,
    Fail,
    Hold,
    Malformed,
    default_answer,
)
from tests.scripted_provider.wire import Protocol, answer_body, error_body, stream_error, stream_events, wanted_schema

_PROTOCOLS: Mapping[str, Protocol] = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class _ConnectionCut(Exception):
    """The script, or the client, ends the connection."""


class ScriptedProvider:
    """A vendor on a free port of the loopback interface; use it as an async context manager."""

    def __init__(
        self,
        *,
        port: int = 0,
        latency_seconds: float = 0.0,
        behave: Callable[[ReceivedRequest], Behaviour | None] = lambda _: None,
    ) -> None:
        #: Before each answer; errors come at once.
        self.latency_seconds = self._first_latency_seconds = latency_seconds
        #: What to do with a request past the script; None is the default answer.
        self._behave = behave
        #: Calls of models, in order of arrival.
        self.requests: list[ReceivedRequest] = []
        self._port = port
        self._script: deque[Behaviour] = deque()
        self._released = asyncio.Event()
        self._changed = asyncio.Condition()
        self._abandoned = 0
        #: Calls that have come in and are not answered, and those of them that are held.
        self._open = self._held = 0
        #: Of this class, found while it served.
        self._defects: list[Exception] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        async with deadline("the connections of the provider to end"):
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._server.wait_closed()
        if error is None:
            self._tell_defects()

    @property
    def port(self) -> int:
        return self._port

    @property
    def base_url_openai(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def base_url_anthropic(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def script(self, *behaviours: Behaviour) -> None:
        """Appends what to do with the next requests; past the script comes the default answer."""
        self._script.extend(behaviours)

    def release(self) -> None:
        """Lets what is held go on, and all that is held later."""
        self._released.set()

    def hold_again(self) -> None:
        """Holds from here on what the script says to hold."""
        self._released.clear()

    async def reset(self) -> None:
        """Forgets the script and what was received, lets what is held go, and holds again.

        Whatever a test has left behind, the next one begins with a provider as new.
        """
        self._script.clear()
        self.release()
        await self._until(lambda: not self._open, "every open call to end")
        self.hold_again()
        self.requests.clear()
        self._abandoned, self.latency_seconds = 0, self._first_latency_seconds
        self._tell_defects()

    @property
    def abandonments(self) -> int:
        """How many held calls have lost their client."""
        return self._abandoned

    async def received(self, count: int, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until `count` calls have come in."""
        await self._until(lambda: len(self.requests) >= count, f"{count} calls of models", within_seconds)

    async def abandoned(self, count: int = 1, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until `count` held calls have lost their client."""
        await self._until(lambda: self._abandoned >= count, f"{count} held calls to lose their client", within_seconds)

    def _tell_defects(self) -> None:
        defects, self._defects = self._defects, []
        if defects:
            raise ExceptionGroup("the scripted provider itself has failed", defects)

    async def _until(self, is_so: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        async with deadline(lambda: f"{what}; the provider {self._state()}", seconds=seconds), self._changed:
            await self._changed.wait_for(is_so)

    def _state(self) -> str:
        return (
            f"has received {len(self.requests)}, holds {self._held} of {self._open} open ones, "
            f"has lost the clients of {self._abandoned}, has {len(self._script)} left in its script, "
            f"and {'holds nothing any more' if self._released.is_set() else 'holds what its script says'}"
        )

    async def _tell_change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (_ConnectionCut, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001  # told to the test, which would only see a lost connection
            self._defects.append(error)
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its response; whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, *header_lines = head.decode("latin-1").split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, separator, value in (line.partition(":") for line in header_lines)
            if separator
        }
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        path = target.partition("?")[0]
        protocol = _PROTOCOLS.get(path)
        if method == "GET" and path == "/_requests":
            _write(writer, 200, self._tally())
        elif method != "POST" or protocol is None:
            _write(writer, 404, {"error": {"message": f"no such path: {path}", "type": "invalid_request_error"}})
        else:
            body = json.loads(content)
            request = ReceivedRequest(method=method, path=path, headers=headers, body=body)
            self.requests.append(request)
            call = _Call(self, protocol=protocol, body=body, number=len(self.requests), reader=reader, writer=writer)
            behaviour = self._script.popleft() if self._script else self._behave(request)
            self._open += 1
            await self._tell_change()
            try:
                await call.answer(behaviour)
            finally:
                self._open -= 1
                await self._tell_change()
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def _tally(self) -> dict[str, Any]:
        keys = Counter(request.headers.get("idempotency-key", "") for request in self.requests)
        return {"count": len(self.requests), "idempotency_keys": {key: count for key, count in keys.items() if key}}

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        """Returns when released; raises _ConnectionCut when the client goes first."""
        release = asyncio.ensure_future(self._released.wait())
        # It says nothing while it waits for an answer: whatever comes is its end.
        departure = asyncio.ensure_future(reader.read(1))
        self._held += 1
        try:
            await asyncio.wait((release, departure), return_when=asyncio.FIRST_COMPLETED)
            has_gone = departure.done()
        finally:
            self._held -= 1
            release.cancel()
            departure.cancel()
            # Until its read has ended, nobody else can read of the connection.
            await asyncio.gather(release, departure, return_exceptions=True)
        if not has_gone:
            return
        self._abandoned += 1
        await self._tell_change()
        raise _ConnectionCut


class _Call:
    """One call of a model on its connection."""

    def __init__(
        self,
        provider: ScriptedProvider,
        *,
        protocol: Protocol,
        body: Mapping[str, Any],
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._provider, self._protocol, self._body, self._number = provider, protocol, body, number
        self._reader, self._writer = reader, writer
        self._model = str(body.get("model"))

    async def answer(self, behaviour: Behaviour | None) -> None:
        match behaviour:
            case Fail():
                error = error_body(
                    self._protocol,
                    status=behaviour.status,
                    error_code=behaviour.error_code,
                    message=behaviour.message,
                )
                headers = {"Retry-After": behaviour.retry_after} if behaviour.retry_after is not None else {}
                _write(self._writer, behaviour.status, error, headers)
            case Malformed():
                _write_bytes(self._writer, 200, behaviour.body, {"Content-Type": behaviour.content_type})
            case Drop():
                raise _ConnectionCut
            case BrokenStream():
                await self._break(behaviour)
            case Answer():
                await self._tell(behaviour)
            case Hold() | None:
                if behaviour is not None:
                    await self._provider._hold(self._reader)
                await self._tell(default_answer(self._body, schema=wanted_schema(self._protocol, self._body)))

    async def _tell(self, answer: Answer) -> None:
        if self._provider.latency_seconds:
            await asyncio.sleep(self._provider.latency_seconds)
        if not self._body.get("stream"):
            _write(self._writer, 200, answer_body(self._protocol, answer, model=self._model, number=self._number))
            return
        before, words, after = stream_events(self._protocol, answer, model=self._model, number=self._number)
        self._begin_stream()
        for event in (*before, *words, *after):
            await self._send(event)
        self._writer.write(b"0\r\n\r\n")

    async def _break(self, behaviour: BrokenStream) -> None:
        answer = Answer(text=behaviour.text)
        before, words, _ = stream_events(self._protocol, answer, model=self._model, number=self._number)
        self._begin_stream()
        for event in (*before, *words[: behaviour.words]):
            await self._send(event)
        if behaviour.ending == "drop":
            raise _ConnectionCut
        if behaviour.ending == "hold":
            await self._provider._hold(self._reader)
        if behaviour.ending == "error":
            await self._send(stream_error(self._protocol))
        if behaviour.ending == "garbage":
            await self._send(b"event: content_block_delta\ndata: {not json\n\n")
        self._writer.write(b"0\r\n\r\n")

    def _begin_stream(self) -> None:
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def _send(self, event: bytes) -> None:
        self._writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        await self._writer.drain()


def _write(
    writer: asyncio.StreamWriter, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    content = json.dumps(body, ensure_ascii=False).encode()
    _write_bytes(writer, status, content, {"Content-Type": "application/json", **(headers or {})})


def _write_bytes(writer: asyncio.StreamWriter, status: int, content: bytes, headers: Mapping[str, str]) -> None:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Scripted"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Length: {len(content)}"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content)
