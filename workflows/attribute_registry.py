"""Which search attributes the cluster knows: it refuses to start a workflow with one that it does not know.

Stands before every start of a workflow, and leaves out what is missing; the log says once how to create it.
"""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from observability.telemetry.logging import get_logger
from workflows.attribute_names import creation_arguments
from workflows.run_attributes import RUN_ATTRIBUTES, only

_log = get_logger(__name__)

_KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

#: The server is there, and will not say.
_UNANSWERED = frozenset(
    {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNKNOWN}
)


def creation_command(names: Sequence[str], namespace: str) -> str:
    """The command that makes a cluster know the attributes."""
    return shlex.join(["temporal", *creation_arguments(tuple(names)), "--namespace", namespace])


class AttributeRegistry(Interceptor):
    """What one client's cluster knows of our search attributes; asked for at the first need, and then kept."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._known: list[str] | None = None
        self._has_told = False

    def bind(self, client: Client) -> None:
        """The client to ask with, which is there only after its interceptors."""
        self._client = client

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002  # the SDK's own name
        """Stands before every call of the client."""
        return _Starts(next, self)

    async def known(self, *, anew: bool = False) -> list[str]:
        """The names that may be used; `anew` asks the cluster again. Raises RPCError and RuntimeError."""
        if self._known is None or anew:
            self._known = await self._ask()
            self._tell_what_is_missing()
        return self._known

    async def _ask(self) -> list[str]:
        if self._client is None:
            return []
        question = ListSearchAttributesRequest(namespace=self._client.namespace)
        try:
            answer = await self._client.operator_service.list_search_attributes(question)
        except RPCError as error:
            if error.status not in _UNANSWERED:
                raise
            return []
        return [key.name for key in RUN_ATTRIBUTES if answer.custom_attributes.get(key.name) == _KEYWORD]

    def _tell_what_is_missing(self) -> None:
        missing = [key.name for key in RUN_ATTRIBUTES if key.name not in (self._known or [])]
        if not missing or self._has_told or self._client is None:
            return
        self._has_told = True
        _log.warning(
            "temporal.search_attributes_missing",
            missing=missing,
            command=creation_command(missing, self._client.namespace),
            then="restart API and workers; runs start without them until then",
        )


async def look_for_attributes(client: Client) -> None:
    """Asks the cluster, so that a process tells at its start what is missing; one that is away is asked later."""
    for interceptor in client.config()["interceptors"]:
        if isinstance(interceptor, AttributeRegistry):
            with suppress(RPCError, RuntimeError):
                await interceptor.known()


class _Starts(OutboundInterceptor):
    """Starts workflows with the attributes that the cluster knows."""

    def __init__(self, following: OutboundInterceptor, registry: AttributeRegistry) -> None:
        super().__init__(following)
        self._registry = registry

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002  # the SDK's own
        wanted = input.search_attributes
        if not isinstance(wanted, TypedSearchAttributes):
            return await super().start_workflow(input)
        try:
            return await super().start_workflow(_with(input, wanted, await self._registry.known()))
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
        # Something has changed since the cluster was asked.
        known = await self._registry.known(anew=True)
        try:
            return await super().start_workflow(_with(input, wanted, known))
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
        # It lists what not all of its parts know yet: the run is worth more than its being found.
        return await super().start_workflow(_with(input, wanted, []))


def _with(start: StartWorkflowInput, wanted: TypedSearchAttributes, names: list[str]) -> StartWorkflowInput:
    return replace(start, search_attributes=only(wanted, names))
