"""The activity of code nodes: a request of the sandbox, answered from an earlier run's result where there is one.

Code is pure, so a result is kept under the digest of its request: the same code on the same input, in any run of the
organisation, is run once.
"""

import base64
import json
from datetime import datetime
from typing import Any

from temporalio import activity

from activities.payloads import RUN_CODE, StepCall
from activities.resources import Resources
from activities.sandbox.models import CodeLanguage, CodeLimits, CodeRequest
from activities.step_context import StepContext, current_step
from agentflow.errors import BlobCorrupt, BlobNotFound
from agentflow.large_values import beside_loop
from runs.code_result_repository import CodeResultRepository, keep_statement
from runs.plan import CodeParameters


class CodeActivity:
    """Runs code for one worker process."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=RUN_CODE)
    async def run_code(self, _call: StepCall) -> Any:
        """What the code gives for its inputs; raises a CodeError."""
        context = current_step()
        request = _request_of(context)
        digest = await beside_loop(request.digest, on=request.input, owner=context.org_id)
        kept = await self._kept(context.org_id, digest)
        if kept is not None:
            context.cache_hit = True
            return await beside_loop(lambda: json.loads(kept), on=kept, owner=context.org_id)
        result = await self._resources.sandbox.run(request)
        context.closing.append(
            lambda ending: (
                [keep_statement(org_id=context.org_id, request_digest=digest, output_digest=result.output_digest)]
                if ending.status == "ok"
                else []
            )
        )
        return result.output

    async def _kept(self, org_id: str, request_digest: str) -> bytes | None:
        """The output of an earlier run of the same request; None when there is none, or its content is gone."""
        async with self._resources.database.transaction() as session:
            output_digest = await CodeResultRepository(session).find(org_id=org_id, request_digest=request_digest)
        if output_digest is None:
            return None
        try:
            return await self._resources.blobs.get(org_id=org_id, digest=output_digest)
        except (BlobNotFound, BlobCorrupt):
            # Results are a convenience: what is gone is computed again.
            return None


def _request_of(context: StepContext) -> CodeRequest:
    program = context.leaf.program
    if program is None:
        raise LookupError("the plan has no program for this step")
    return CodeRequest(
        org_id=context.org_id,
        language=CodeLanguage(program.language),
        source=program.source,
        module=base64.b64decode(program.module) if program.module is not None else None,
        input=context.arguments,
        seed=program.seed,
        now=datetime.fromisoformat(program.clock),
        limits=_limits_of(program),
    )


def _limits_of(program: CodeParameters) -> CodeLimits:
    given: dict[str, Any] = {
        "fuel": program.fuel,
        "memory_bytes": program.memory_bytes,
        "wall_seconds": program.wall_seconds,
        "output_bytes": program.output_bytes,
    }
    return CodeLimits(**{name: value for name, value in given.items() if value is not None})
