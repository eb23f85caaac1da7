"""Makes the result of a step exactly-once: claim, perform, commit under the fence.

llm and tool steps are claimed before anything leaves; functions and code are pure and are recorded once, at their
end. The claim of an llm step is part of the transaction that sets its money aside: one commit before the call, one
after. The output, what it cost, its spans and the settlement of its budget are one transaction. When the database is
away at that moment the attempt waits for it: what was bought must not be lost for want of a second's patience.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.payloads import StepDone
from activities.resources import Resources
from activities.step_context import Ending, StepContext
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json, sha256_hex
from agentflow.errors import AgentflowError
from agentflow.statements import Rows, Statement, execute_each
from agentflow.storable_text import storable_text
from observability.telemetry.logging import get_logger
from runs.errors import DeterminismViolation, StaleFence, StepClaimed
from runs.facts import extract_facts
from runs.journal_repository import (
    Claim,
    EffectJournal,
    claim_statement,
    commit_statement,
    effect_key,
    record_statement,
)
from runs.models import StepOutput, StepState

_log = get_logger(__name__)

#: A claim outlives its attempt's own time limit by this much.
_LEASE_MARGIN_SECONDS = 15.0
#: How long an attempt that has its result waits for a database that is away.
PATIENCE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 2.0
#: What gives the same output however often it runs.
PURE_KINDS = frozenset({"function", "code"})
MAX_ERROR_CHARACTERS = 2_000

_Result = TypeVar("_Result")


class EffectJournalInterceptor(StepInterceptor):
    """Gives a recorded result back without performing the step again."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> StepDone:
        """The recorded result; raises StepClaimed, DeterminismViolation or StaleFence besides what the step raises."""
        step = _JournaledStep(self._resources, context)
        try:
            await step.begin()
            return await step.commit(await proceed())
        except _Recorded as found:
            return self._reused(context, found.output)
        except asyncio.CancelledError:
            ending = Ending(status="cancelled", error_code="step.cancelled")
            await asyncio.shield(step.fail(ending, "the step was cancelled"))
            raise
        except (StepClaimed, StaleFence, DeterminismViolation):
            # The row is another attempt's, or another request's: it is not ours to write.
            raise
        except AgentflowError as error:
            recorded = await step.fail(Ending(status="error", error_code=error.code), str(error))
            if recorded is None:
                raise
            return self._reused(context, recorded)
        except Exception as error:  # A defect, or a database that is gone: the journal should know of either.
            recorded = await step.fail(Ending(status="error", error_code="step.unexpected"), type(error).__name__)
            if recorded is None:
                raise
            return self._reused(context, recorded)

    @staticmethod
    def _reused(context: StepContext, output: StepOutput) -> StepDone:
        context.is_reused = True
        return _done(output)


class _Recorded(Exception):  # a way out, not an error
    """The journal has the result already."""

    def __init__(self, output: StepOutput) -> None:
        self.output = output
        super().__init__()


class _JournaledStep:
    """One attempt's dealings with the journal."""

    def __init__(self, resources: Resources, context: StepContext) -> None:
        self._resources, self._context = resources, context
        self._claim: Claim | None = None

    async def begin(self) -> None:
        """Claims a tool step; lets routing claim an llm step; leaves what is pure alone."""
        if self._context.leaf.kind == "llm":
            self._context.claiming = self
        elif self._context.leaf.kind == "tool":
            await self._claim_now()

    def statement(self) -> Statement:
        """Claims the step."""
        lease_seconds = self._context.timeout.run_seconds + _LEASE_MARGIN_SECONDS
        return claim_statement(self._context.journal_request(), lease_seconds=lease_seconds)

    def take(self, rows: Rows) -> bool:
        """Whether the claim is ours."""
        if not rows:
            return False
        self._context.fence = rows[0].fence
        self._claim = Claim(effect_key=effect_key(self._context.key), fence=self._context.fence)
        return True

    async def refused(self, session: AsyncSession) -> NoReturn:
        """Raises StepClaimed, DeterminismViolation, or the way out with what is recorded."""
        raise _Recorded(await EffectJournal(session).existing(self._context.journal_request()))

    async def commit(self, output: Any) -> StepDone:
        """Stores the output and all that belongs to it in one flight and one commit."""
        context = self._context
        content = canonical_json(output)
        digest = sha256_hex(content)
        facts = context.own_facts
        if facts is None:
            facts = extract_facts(output, context.node.facts, owner=f"{context.call.node_id}.output")
        own = StepOutput(digest=digest, size_bytes=len(content), facts=facts)
        stored = await self._patiently(
            lambda: self._resources.blobs.put_statement(
                org_id=context.org_id,
                digest=digest,
                content=content,
                media_type=JSON_MEDIA_TYPE,
                now=self._resources.clock.now(),
            )
        )
        statements = [stored, self._recording(own), *_closing(context, Ending(status="ok"))]

        _, recorded, *_ = await self._patiently(lambda: self._resources.database.fly(statements))
        kept = own if recorded else await self._in_transaction(lambda session: self._kept(session, own))
        if kept is None:
            raise StaleFence(node_id=context.call.node_id, fence=context.fence)
        if kept == own:
            self._resources.remember_json(org_id=context.org_id, digest=digest, value=output, size_bytes=own.size_bytes)
        return _done(kept)

    async def fail(self, ending: Ending, message: str) -> StepOutput | None:
        """Records that the attempt ended without a result, what it cost, and its spans.

        Gives the step's output when an earlier attempt has recorded it: then nothing has failed.
        """
        context, was_claimed = self._context, self._claim is not None
        state = StepState.CANCELLED if ending.status == "cancelled" else StepState.FAILED
        code, text = ending.error_code or "step.failed", storable_text(message[:MAX_ERROR_CHARACTERS])

        async def work(session: AsyncSession) -> None:
            journal = EffectJournal(session)
            if context.leaf.kind in PURE_KINDS:
                await journal.record_failure(
                    context.journal_request(),
                    state=state,
                    error_code=code,
                    error_message=text,
                    seconds=self._seconds(),
                )
            else:
                if not was_claimed:
                    # It failed before it was claimed: by policy, or by its prompt.
                    await self._claim_in(session)
                await self._fail_claim(journal, state, code, text)
            await execute_each(session, _closing(context, ending))

        try:
            await self._in_transaction(work)
        except _Recorded as found:
            await self._close(ending)
            return found.output
        except (StepClaimed, DeterminismViolation):
            # The row is another attempt's; what this one spent is told all the same.
            await self._close(ending)
        except Exception:  # noqa: BLE001  # The failure itself is what Temporal must hear of, not that of its record.
            # The holds are the sweeper's now.
            _log.exception("step.failure_not_recorded", run_id=context.run_id, step=context.where)
        return None

    async def _close(self, ending: Ending) -> None:
        await self._in_transaction(lambda session: execute_each(session, _closing(self._context, ending)))

    async def _claim_now(self) -> None:
        async with self._resources.database.transaction() as session:
            await self._claim_in(session)

    async def _claim_in(self, session: AsyncSession) -> None:
        statement = self.statement()
        if not self.take(list(await session.execute(statement.clause, statement.parameters))):
            await self.refused(session)

    def _recording(self, output: StepOutput) -> Statement:
        context = self._context
        if self._claim is not None:
            return commit_statement(self._claim, output=output, usage=context.usage())
        return record_statement(
            context.journal_request(), output=output, usage=context.usage(), seconds=self._seconds()
        )

    async def _kept(self, session: AsyncSession, own: StepOutput) -> StepOutput | None:
        """What the journal has instead of a result that it did not take; None when another attempt has taken over."""
        journal = EffectJournal(session)
        if self._claim is None:
            return await journal.existing(self._context.journal_request())
        if await journal.is_committed(self._claim, output=own):
            # It did take it; the acknowledgement was lost with the connection.
            return own
        await execute_each(session, _closing(self._context, Ending(status="error", error_code=StaleFence.code)))
        await journal.add_cost(self._claim, self._context.cost_micro_usd)
        return None

    async def _fail_claim(self, journal: EffectJournal, state: StepState, code: str, message: str) -> None:
        if self._claim is None:
            return
        cost = self._context.cost_micro_usd
        if not await journal.fail(self._claim, state=state, error_code=code, error_message=message, cost=cost):
            await journal.add_cost(self._claim, cost)

    async def _in_transaction(self, work: Callable[[AsyncSession], Awaitable[_Result]]) -> _Result:
        async def once() -> _Result:
            async with self._resources.database.transaction() as session:
                return await work(session)

        return await self._patiently(once)

    async def _patiently(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """`work`, one transaction, tried again while the connection to the database is what fails."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        pause = 0.1
        while True:
            try:
                return await work()
            except (DBAPIError, PoolTimeout) as error:
                is_away = isinstance(error, PoolTimeout) or error.connection_invalidated or not _has_sqlstate(error)
                if not is_away or asyncio.get_running_loop().time() > deadline:
                    raise
                _log.warning("database.away", pause_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _seconds(self) -> float:
        return max((self._resources.clock.now() - self._context.started_at).total_seconds(), 0.0)


def _closing(context: StepContext, ending: Ending) -> list[Statement]:
    # Innermost first: what a call adds to the trace is there when the trace is written.
    return [statement for action in reversed(context.closing) for statement in action(ending)]


def _has_sqlstate(error: DBAPIError) -> bool:
    """Whether the server itself refused the statement; a connection that is gone has no SQLSTATE of its own."""
    state = getattr(error.orig, "sqlstate", None)
    # Class 57: the server is shutting down, starting up, or was told to end this session.
    return state is not None and not str(state).startswith("57")


def _done(output: StepOutput) -> StepDone:
    return StepDone(digest=output.digest, size_bytes=output.size_bytes, facts=dict(output.facts))
