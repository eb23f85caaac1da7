"""HTTP/1.1 under limits: how long a request may take to come, how long an answer may not be read, how many connections.

The parser reads line ends, folded lines and control characters more kindly than RFC 9112 asks. What reads a head in
another way than the proxy before it can be made to take one request for two, so heads that are not strictly as the RFC
says (sections 2.2, 5 and 5.2) are refused here.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.error_responses import PROBLEM_TYPE, Problem, title_of

#: A line that ends in LF alone, a folded line, a CR in a line, and control characters.
_NOT_IN_HEADS = re.compile(rb"(?<!\r)\n|\r\n[ \t]|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_END_OF_HEAD = b"\r\n\r\n"
#: RFC 9112, section 6.1: the one of them that a proxy went by may be the other.
_LENGTHS = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may take."""

    #: From its first byte, or from the connection's start, to the end of a request's head.
    head_seconds: float = 10.0
    #: From there to the end of its body.
    body_seconds: float = 60.0
    #: How long a client may read nothing of an answer.
    unread_seconds: float = 60.0
    #: With one more, the connection that has waited longest for its client is closed.
    most_connections: int = 1_000


class StrictConnection(h11.Connection):
    """The parser, and what else a request's head must be."""

    def next_event(self) -> Any:
        """As h11's; raises RemoteProtocolError for a head that only a lenient parser takes."""
        if self.their_state is h11.IDLE:
            head, *_ = self.trailing_data[0].partition(_END_OF_HEAD)
            if _NOT_IN_HEADS.search(head):
                raise h11.RemoteProtocolError("the head has a bare CR or LF, a folded line or a control character")
        event = super().next_event()
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= _LENGTHS:
            raise h11.RemoteProtocolError("the head says in two ways how long the body is")
        return event


class LimitedProtocol(H11Protocol):
    """A connection that ends when its client takes too long; `with_limits` says what that is."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection(h11.SERVER, self.conn._max_incomplete_event_size)  # noqa: SLF001  # As uvicorn has it.
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._watched: tuple[str, int] | None = None
        #: Since when it waits for its client.
        self.waits_since = time.monotonic()

    @classmethod
    def with_limits(cls, limits: ConnectionLimits) -> type["LimitedProtocol"]:
        """The protocol with other limits."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn has it.
        """Asyncio."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.limits.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Asyncio."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Uvicorn."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio."""
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Asyncio: the client reads more slowly than it is answered."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Asyncio."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    @property
    def waits_for(self) -> Literal["head", "body", "request"] | None:
        """What of its client it waits for: the rest of a request, or another one; None while it works on one."""
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        if self.conn.their_state is not h11.IDLE:
            return None
        return "request" if self._has_had_one and not self.conn.trailing_data[0] else "head"

    @property
    def _has_had_one(self) -> bool:
        return self.cycle is not None

    def _watch(self) -> None:
        """Measures anew when something else is waited for; the wait for another request is uvicorn's to measure."""
        waits_for = self.waits_for
        watched = (waits_for, id(self.cycle)) if waits_for in {"head", "body"} else None
        if watched == self._watched:
            return
        self._watched, self.waits_since = watched, time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
        if watched is not None:
            seconds = self.limits.head_seconds if waits_for == "head" else self.limits.body_seconds
            self._timer = self.loop.call_later(seconds, self._end_late_request)

    def _end_late_request(self) -> None:
        # Of a client that has sent nothing at all nobody waits for an answer.
        if self.waits_for == "body" or self.conn.trailing_data[0]:
            self._refuse(408, "request.too_slow", "the request did not come within its time; send it again, at once")
        else:
            self.transport.close()

    def _make_room(self) -> None:
        """Closes the connection that has waited longest for its client, bodies last; this one when none waits."""
        others = [each for each in self.connections if isinstance(each, LimitedProtocol) and each is not self]
        waiting = [each for each in others if each.waits_for is not None and not each.transport.is_closing()]
        if waiting:
            min(waiting, key=lambda each: (each.waits_for == "body", each.waits_since)).transport.close()
        elif sum(not each.transport.is_closing() for each in others) >= self.limits.most_connections:
            self._refuse(503, "service.unavailable", "the server has as many connections as it takes")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answers where nothing has been answered yet, and closes."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            problem = Problem(title=title_of(status), status=status, detail=detail, code=code)
            content = json.dumps(problem.model_dump(mode="json")).encode()
            headers = [
                ("content-type", PROBLEM_TYPE),
                ("content-length", str(len(content))),
                ("retry-after", "2"),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if self.cycle is not None:
                # Whatever its route answers now has nowhere to go.
                self.cycle.disconnected = True
        self.transport.close()
