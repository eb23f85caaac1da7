"""Which tools an MCP server offers, for the compiler: asked once a minute at most, for documents that name it.

Schemas are checked once someone names their tool, in a thread: one may take seconds, and a server has a thousand tools.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from activities.mcp.connection import connected
from activities.mcp.effect_hints import effect_class
from activities.mcp.mcp_tool import signature_of
from activities.mcp.result_content import output_schema
from activities.mcp.sessions import reason_of
from activities.mcp.tool_names import server_as_owner, split_name, tool_name
from agentflow.digest import Json, canonical_json, sha256_hex
from agentflow.errors import ConfigurationError
from agentflow.heavy_work import run_apart
from agentflow.mcp_settings import McpServer
from agentflow.storable_text import storable_text
from observability.telemetry.logging import get_logger
from runs.signatures import Catalog
from runs.tool_contract import ToolContract
from scl.errors import InvalidSchema
from scl.schema_validation import check_schema

_log = get_logger(__name__)

FRESH_SECONDS = 60.0
#: A server that does not answer is taken at its last word for so long: runs wait for it better than people do.
USABLE_SECONDS = 3_600.0
#: A server that is away is not asked again at once, which would make everyone wait for it.
AWAY_SECONDS = 5.0
_MOST_TOOLS = 1_000
_LARGEST_SCHEMA_BYTES = 64 * 1024
_LONGEST_DESCRIPTION = 4_000
#: Schemas whose verdict is remembered, for the servers that list the same again.
_MOST_VERDICTS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTools:
    """What became of the tools that a document names."""

    tools: Mapping[str, ToolContract] = field(default_factory=dict)
    #: Name → why it cannot be used.
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """A tool as it is listed; nobody has checked its schemas."""

    contract: ToolContract
    input_digest: str
    output_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    tools: Mapping[str, _Offer]
    problems: Mapping[str, str]
    listed_at: float
    #: Why the server did not answer the last time, and when that was.
    failure: str | None = None
    failed_at: float = 0.0


class McpToolListing:
    """The tools of the configured servers, as far as anyone has asked."""

    def __init__(self, servers: Mapping[str, McpServer], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._monotonic = servers, monotonic
        self._listings: dict[str, _Listing] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        #: Digest of a schema → why it cannot be used, as soon as that is known.
        self._verdicts: dict[str, asyncio.Future[str | None]] = {}

    async def find(self, names: Iterable[str]) -> FoundTools:
        """The contracts of tools by their names in documents; each that there is none for has a problem."""
        tools: dict[str, ToolContract] = {}
        problems: dict[str, str] = {}
        for name in names:
            found = await self._find(name)
            if isinstance(found, ToolContract):
                tools[name] = found
            else:
                problems[name] = found
        return FoundTools(tools=tools, problems=problems)

    async def _find(self, name: str) -> ToolContract | str:
        parts = split_name(name)
        if parts is None:
            return f"{name!r} names no tool of a server; write mcp:<server>/<tool>"
        server = parts[0]
        if server not in self._servers:
            known = ", ".join(sorted(self._servers)) or "none"
            return f"there is no mcp server {server!r}; MCP_SERVERS configures: {known}"
        # One at a time for each server: the others then have its answer.
        async with self._locks.setdefault(server, asyncio.Lock()):
            listing = await self._listing(server)
        offer = listing.tools.get(name)
        if offer is not None:
            return await self._checked(offer, owner=server_as_owner(server))
        if listing.failure is not None:
            return f"mcp server {server!r} does not answer: {listing.failure}"
        offered = ", ".join(sorted(tool.partition("/")[2] for tool in listing.tools)[:20]) or "none"
        return listing.problems.get(name) or f"mcp server {server!r} has no tool {parts[1]!r}; it has: {offered}"

    async def _checked(self, offer: _Offer, *, owner: str) -> ToolContract | str:
        """The tool as a plan keeps it, or why it cannot be used."""
        contract = offer.contract
        fault = await self._fault(contract.input_schema, offer.input_digest, owner=owner)
        if fault is not None:
            return _unusable(contract.name, fault)
        if await self._fault(contract.output_schema, offer.output_digest, owner=owner) is not None:
            return replace(contract, output_schema=output_schema(None))
        return contract

    async def _fault(self, schema: Json, digest: str, *, owner: str) -> str | None:
        if digest not in self._verdicts:
            if len(self._verdicts) >= _MOST_VERDICTS:
                del self._verdicts[next(iter(self._verdicts))]
            checking = run_apart(partial(_fault_of, schema), owner=owner)
            self._verdicts[digest] = asyncio.ensure_future(checking)
        # Others may wait for it as well.
        return await asyncio.shield(self._verdicts[digest])

    async def _listing(self, server: str) -> _Listing:
        known, now = self._listings.get(server), self._monotonic()
        if known is not None and (now - known.listed_at < FRESH_SECONDS or now - known.failed_at < AWAY_SECONDS):
            return known
        try:
            listing = await _ask(server, self._servers[server], now)
        except ConfigurationError as error:
            listing = _Listing(tools={}, problems={}, listed_at=now - FRESH_SECONDS, failure=str(error), failed_at=now)
        except Exception as error:  # noqa: BLE001  # The edge to the SDK and to whatever the server is.
            reason = reason_of(error)
            _log.warning("mcp.server_away", server=server, reason=reason)
            is_usable = known is not None and now - known.listed_at < USABLE_SECONDS
            listing = _Listing(
                tools=known.tools if known is not None and is_usable else {},
                problems=known.problems if known is not None and is_usable else {},
                listed_at=known.listed_at if known is not None and is_usable else now - FRESH_SECONDS,
                failure=reason,
                failed_at=now,
            )
        self._listings[server] = listing
        return listing


def with_tools(catalog: Catalog, found: FoundTools) -> Catalog:
    """The catalog with the tools of servers besides its own."""
    signatures = {name: signature_of(contract) for name, contract in found.tools.items()}
    return replace(catalog, tools={**catalog.tools, **signatures}, contracts=found.tools, tool_problems=found.problems)


async def _ask(name: str, server: McpServer, now: float) -> _Listing:
    tools: dict[str, _Offer] = {}
    problems: dict[str, str] = {}
    odd: dict[str, str] = {}
    async with asyncio.timeout(server.connect_seconds), connected(name, server, left_out=odd) as client:
        cursor: str | None = None
        while len(tools) + len(problems) < _MOST_TOOLS:
            page = await client.list_tools(cursor=cursor)
            offers = partial(_offers, name, page.tools[:_MOST_TOOLS])
            for full, offer in await run_apart(offers, owner=server_as_owner(name)):
                if isinstance(offer, str):
                    problems[full] = offer
                else:
                    tools[full] = offer
            cursor = page.next_cursor
            if cursor is None:
                break
    problems.update(
        {tool_name(name, odd_name): _unusable(tool_name(name, odd_name), why) for odd_name, why in odd.items()}
    )
    for left_out, problem in problems.items():
        tools.pop(left_out, None)
        _log.warning("mcp.tool_left_out", server=name, tool=left_out, reason=problem)
    # A moment that can never be taken for a recent failure.
    return _Listing(tools=tools, problems=problems, listed_at=now, failed_at=now - USABLE_SECONDS)


def _offers(server: str, tools: Iterable[Any]) -> list[tuple[str, _Offer | str]]:
    """Each tool by its name in documents, or why it cannot be used."""
    return [(name := tool_name(server, tool.name), _offer(name, tool)) for tool in tools]


def _offer(name: str, tool: Any) -> _Offer | str:
    try:
        schemas = [canonical_json(schema) for schema in (tool.input_schema, tool.output_schema)]
        output = output_schema(tool.output_schema)
        output_digest = sha256_hex(canonical_json(output))
    except (ValueError, TypeError, RecursionError) as error:
        return _unusable(name, f"a schema of it is no JSON ({type(error).__name__})")
    if any(len(schema) > _LARGEST_SCHEMA_BYTES for schema in schemas):
        return _unusable(name, f"a schema of it has more than {_LARGEST_SCHEMA_BYTES:,} bytes")
    contract = ToolContract(
        name=name,
        description=storable_text(tool.description or tool.title or tool.name)[:_LONGEST_DESCRIPTION],
        input_schema=tool.input_schema,
        output_schema=output,
        effect=effect_class(tool.annotations),
    )
    return _Offer(contract=contract, input_digest=sha256_hex(schemas[0]), output_digest=output_digest)


def _fault_of(schema: Json) -> str | None:
    try:
        check_schema(schema)
    except InvalidSchema as error:
        return str(error)[:300]
    except (ValueError, TypeError, RecursionError) as error:
        return f"a schema of it is no JSON ({type(error).__name__})"
    return None


def _unusable(name: str, reason: str) -> str:
    return f"{name!r} is offered and cannot be used: {reason}"
