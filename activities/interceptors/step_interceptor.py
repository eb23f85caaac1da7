"""The form that all interceptors of steps have: they see the step, and the call that they stand around."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.step_context import StepContext, find_step

#: Goes on inwards: the next interceptor, at last the activity itself.
Proceed = Callable[[], Awaitable[Any]]


class StepInterceptor(Interceptor, ABC):
    """Stands around every activity that performs a step; others pass untouched."""

    @abstractmethod
    async def around(self, context: StepContext, proceed: Proceed) -> Any:
        """The step's output, which is `proceed`'s or something made of it."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Inbound(next, self)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, interceptor: StepInterceptor) -> None:
        super().__init__(inner)
        self._interceptor = interceptor

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        context = find_step()
        if context is None:
            return await self.next.execute_activity(input)
        return await self._interceptor.around(context, lambda: self.next.execute_activity(input))
