"""Routes that know who is asking before they read anything else of a request, and read JSON under limits."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.json_body import read_json

#: A dependency → what it needs done before the body is read; it raises when the request may not go on.
Guard = Callable[[Request], Awaitable[None]]
_GUARDS: dict[Callable[..., Any], Guard] = {}


def guarded_by(guard: Guard) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a dependency: routes that have it, at any depth, call `guard` before they read a request's body."""

    def mark(dependency: Callable[..., Any]) -> Callable[..., Any]:
        _GUARDS[dependency] = guard
        return dependency

    return mark


class _JsonRequest(Request):
    """A request whose JSON is read under limits; FastAPI asks it for the body's JSON where a route wants that."""

    async def json(self) -> Any:
        """The body's JSON; raises what `read_json` raises."""
        return await read_json(await self.body())


class GuardedRoute(APIRoute):
    """FastAPI reads and parses a body before it solves dependencies, authentication among them; this guards first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, behind the guards of the route's dependencies."""
        handler, guards = super().get_route_handler(), list(dict.fromkeys(_guards_of(self.dependant)))

        async def guarded(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            return await handler(_JsonRequest(request.scope, request.receive))

        return guarded


def _guards_of(dependant: Dependant) -> Iterator[Guard]:
    for dependency in dependant.dependencies:
        if dependency.call in _GUARDS:
            yield _GUARDS[dependency.call]
        yield from _guards_of(dependency)
