"""The model vendor, which is never killed: it counts what really reached it, call by call.

A prompt begins with `ask:TAG/STEP/ITEM!FAULT;`: whose call it is, and which misfortune is to befall it. The answer
follows from the rest of the prompt alone, so that a disturbed run can be compared with an undisturbed one. It ends
with which call of this step it answers: two results of one step would be seen to differ.
"""

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from agentflow.digest import sha256_hex
from tests.scripted_provider import Answer, Behaviour, Fail, ReceivedRequest, ScriptedProvider

_MARK = re.compile(r"ask:(?P<tag>[a-z]+)/(?P<step>[a-z_]+)(?:/(?P<item>[0-9]+))?(?:!(?P<fault>[a-z]+))?;")
_TRY = re.compile(r" try-[a-z]+\b")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_LATENCY_SECONDS = 0.15
_START_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalCall:
    """A call that reached the vendor."""

    #: The platform's id of this very call.
    idempotency_key: str
    step: str
    item_index: int | None
    #: False when the vendor refused it, and billed nothing.
    is_answered: bool


def without_tries(value: Any) -> Any:
    """`value` without what tells the calls of one step apart."""
    return json.loads(_TRY.sub("", json.dumps(value)))


def tries_in(value: Any) -> list[str]:
    """The answers in `value`, each with which call of its step it came from."""
    return re.findall(r"[a-z_]+(?:/[0-9]+)?:[a-p]{12} try-[a-z]+\b", json.dumps(value))


def letters(number: int) -> str:
    """A number in letters: digits might be taken for personal data."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


class CountingModel:
    """The vendor in a thread of its own; use it as a context manager."""

    def __init__(self) -> None:
        self._calls: list[PhysicalCall] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="model", daemon=True)

    @property
    def url(self) -> str:
        return self._url

    def calls(self) -> list[PhysicalCall]:
        with self._lock:
            return list(self._calls)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_SECONDS):
            raise RuntimeError("the counting model did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with ScriptedProvider(latency_seconds=_LATENCY_SECONDS, behave=self._behave) as provider:
            self._url = provider.base_url_openai
            self._ready.set()
            await self._stopped.wait()

    def _behave(self, request: ReceivedRequest) -> Behaviour:
        prompt = "\n".join(str(message["content"]) for message in request.body["messages"])
        mark = _MARK.search(prompt)
        if mark is None:
            return Fail(status=400, message="the prompt says not whose it is")
        where, item = mark["step"], mark["item"]
        name = where if item is None else f"{where}/{item}"
        with self._lock:
            number = self._seen[f"{mark['tag']}/{name}"] = self._seen[f"{mark['tag']}/{name}"] + 1
            behaviour = _misfortune(mark["fault"], number) or Answer(
                text=f"{name}:{_digest(prompt, mark[0])} try-{letters(number)}"
            )
            call = PhysicalCall(
                idempotency_key=request.headers.get("idempotency-key", ""),
                step=where,
                item_index=int(item) if item is not None else None,
                is_answered=isinstance(behaviour, Answer),
            )
            self._calls.append(call)
        return behaviour


def _misfortune(fault: str | None, number: int) -> Behaviour | None:
    if fault == "refused":
        return Fail(status=400, message="this model does not like it")
    if fault == "limited" and number == 1:
        return Fail(status=429, retry_after="0.2")
    if fault == "overloaded" and number == 1:
        return Fail(status=500)
    return None


def _digest(prompt: str, mark: str) -> str:
    subject = _TRY.sub("", prompt.replace(mark, "", 1))
    return sha256_hex(subject.encode()).translate(_LETTERS)[:12]
