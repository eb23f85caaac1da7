"""Policy around a step: what it is given is resolved, validated, tokenised and scored; what it gives is validated.

A model sees what its node's policy lets through: personal data as tokens, attacks not at all where the policy blocks.
Tools and functions that ship with AgentFlow work inside the boundary, on the data itself; where the policy says
`restore`, tokens in a tool's arguments or a model's answer become the values that they stand for, and that is audited.
"""

from collections.abc import Mapping
from typing import Any, Literal

from activities.arguments import resolve_arguments
from activities.catalog import FUNCTIONS
from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.model_answers import answer_of
from activities.paged_output import PagedOutput
from activities.resources import Resources
from activities.step_context import StepContext, accepted
from agentflow.digest import Json
from cas.provider_models import ModelResponse
from runs.signatures import StepSignature
from scl.errors import PolicyDenied
from scl.models import ContextPolicy
from scl.schema_validation import validate_aside
from scl.service import SecureContext, protect_value


class SclPolicyInterceptor(StepInterceptor):
    """Applies the node's context policy before and after."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> Any:
        """The step's output; raises SchemaViolation, PolicyDenied, InjectionBlocked or OutputNotJson."""
        arguments = context.given_arguments
        if arguments is None:
            arguments = await resolve_arguments(self._resources, context.call, context.node)
        if context.leaf.kind == "llm":
            context.arguments = await self._protect(context, arguments)
            response = await proceed()
            # Of an agent's turn more is made than an answer.
            return response if context.call.agent is not None else await self._llm_output(context, response)
        if context.leaf.kind == "code":
            context.arguments = arguments
            output = context.raw_output = await proceed()
            await _validate(context, "output", output, context.leaf.output_schema)
            return output
        signature = self._signature(context)
        if context.leaf.kind == "tool":
            if context.leaf.policy.restore:
                arguments = await self._restore(context, arguments)
            await self._keep_tokens_in(context, arguments)
        context.arguments = arguments
        await _validate(context, "input", arguments, signature.input_schema)
        output = context.raw_output = await proceed()
        if not isinstance(output, PagedOutput):
            await _validate(context, "output", output, signature.output_schema)
        return output

    async def _protect(self, context: StepContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
        policy = context.leaf.policy
        protected, storing = await protect_value(
            self._resources.vault,
            org_id=context.org_id,
            value=arguments,
            policy=ContextPolicy(
                pii=policy.pii,
                injection=policy.injection,
                injection_threshold=policy.injection_threshold,
                restore=policy.restore,
            ),
            where=f"input of {context.where!r}",
            now=self._resources.clock.now(),
        )
        context.opening.extend(storing)
        context.note_protected(protected)
        value: Any = protected.value
        return dict(value)

    async def _llm_output(self, context: StepContext, response: ModelResponse) -> Any:
        output = await answer_of(
            response,
            context.leaf.output_schema,
            node_id=context.call.node_id,
            where=context.where,
            owner=context.org_id,
            accept=accepted(context),
        )
        return await self._restore(context, output) if context.leaf.policy.restore else output

    async def _restore(self, context: StepContext, value: Any) -> Any:
        async with self._resources.database.transaction() as session:
            return await self._secure(session).restore(
                org_id=context.org_id, run_id=context.run_id, node_id=context.call.node_id, value=value
            )

    async def _keep_tokens_in(self, context: StepContext, arguments: Any) -> None:
        """Raises PolicyDenied where a tool outside would be called with tokens in place of personal data."""
        if context.leaf.policy.tokens == "allow" or self._resources.tool(context.leaf).is_inside:
            return
        async with self._resources.database.transaction() as session:
            tokens = await self._secure(session).known_tokens(org_id=context.org_id, value=arguments)
        if tokens:
            raise PolicyDenied(
                action=f"the call of {context.leaf.target!r} in {context.where!r}",
                reason=f"its arguments hold {', '.join(tokens[:3])} in place of personal data; let the tool have the "
                "data by `policy: {restore: true}`, or say `policy: {tokens: allow}` where a token is meant",
            )

    def _signature(self, context: StepContext) -> StepSignature:
        if context.leaf.kind == "tool":
            return self._resources.tool(context.leaf).signature
        return FUNCTIONS[context.leaf.target].signature

    def _secure(self, session: Any) -> SecureContext:
        return SecureContext(session, self._resources.vault, self._resources.clock)


async def _validate(context: StepContext, role: Literal["input", "output"], value: Any, schema: Json | None) -> None:
    if schema is not None:
        await validate_aside(value, schema, where=f"{role} of {context.where!r}", owner=context.org_id)
