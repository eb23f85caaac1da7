"""The model vendor, which is never killed: it counts what really reached it, call by call.

A prompt begins with `ask:TAG/STEP/ITEM!FAULT;`: whose call it is, and which misfortune is to befall it. The answer
follows from the rest of the prompt alone, so that a disturbed run can be compared with an undisturbed one. It ends
with which call of this step it answers: two results of one step would be seen to differ.

With tools to call it is an agent's model: in its first turn it looks and pays, in its second it pays once more, and
then it answers, with all receipts that it was shown.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from agentflow.digest import sha256_hex
from bench.chaos.background_server import BackgroundServer
from tests.scripted_provider import Answer, Behaviour, Fail, ReceivedRequest, ScriptedProvider, ScriptedToolCall

_MARK = re.compile(r"ask:(?P<tag>[a-z]+)/(?P<step>[a-z_]+)(?:/(?P<item>[0-9]+))?(?:!(?P<fault>[a-z]+))?;")
_TRY = re.compile(r" try-[a-z]+\b")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_RECEIPT = re.compile(r"receipt\W+([a-z:.0-9 ]+)")
_LATENCY_SECONDS = 0.15
#: What an agent's model asks for in each of its turns: methods of the service.
_AGENT_CALLS = (("GET", "POST"), ("POST",))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalCall:
    """A call that reached the vendor."""

    #: The platform's id of this very call.
    idempotency_key: str
    step: str
    item_index: int | None
    #: The turn of an agent.
    part: str | None = None
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

    def __init__(self, service_host: str) -> None:
        self._service_host = service_host
        self._calls: list[PhysicalCall] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = BackgroundServer(
            lambda: ScriptedProvider(latency_seconds=_LATENCY_SECONDS, behave=self._behave), name="counting model"
        )
        self.url = ""

    def calls(self) -> list[PhysicalCall]:
        with self._lock:
            return list(self._calls)

    def __enter__(self) -> Self:
        self.url = self._server.__enter__().base_url_openai
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def _behave(self, request: ReceivedRequest) -> Behaviour:
        messages = request.body["messages"]
        prompt = "\n".join(str(message["content"]) for message in messages if message["role"] in {"system", "user"})
        mark = _MARK.search(prompt)
        if mark is None:
            return Fail(status=400, message="the prompt says not whose it is")
        where, item = mark["step"], mark["item"]
        turn = sum(message["role"] == "assistant" for message in messages) if request.body.get("tools") else None
        name = where if item is None else f"{where}/{item}"
        counted = f"{mark['tag']}/{name}/{turn}"
        with self._lock:
            number = self._seen[counted] = self._seen[counted] + 1
            behaviour = _misfortune(mark["fault"], number)
            if behaviour is None and turn is not None and turn < len(_AGENT_CALLS):
                behaviour = self._agent_calls(mark["tag"], where, turn)
            if behaviour is None:
                digest = _digest(" ".join([prompt, *_receipts(messages)]), mark[0])
                behaviour = Answer(text=f"{name}:{digest} try-{letters(number)}")
            call = PhysicalCall(
                idempotency_key=request.headers.get("idempotency-key", ""),
                step=where,
                item_index=int(item) if item is not None else None,
                part=f"turn:{turn}" if turn is not None else None,
                is_answered=isinstance(behaviour, Answer),
            )
            self._calls.append(call)
        return behaviour

    def _agent_calls(self, tag: str, node_id: str, turn: int) -> Answer:
        calls = []
        for index, method in enumerate(_AGENT_CALLS[turn]):
            url = f"http://{self._service_host}/plain/{tag}/{node_id}?call:{turn}.{index}"
            arguments = {"method": method, "url": url, **({} if method == "GET" else {"json": {}})}
            calls.append(
                ScriptedToolCall(name="http_request", arguments=json.dumps(arguments), call_id=f"call_{turn}_{index}")
            )
        return Answer(tool_calls=tuple(calls), stop_reason="tool_calls")


def _receipts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the tools have answered, in the order of the calls."""
    return [
        receipt
        for message in messages
        if message["role"] == "tool"
        for receipt in _RECEIPT.findall(str(message["content"]))
    ]


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
