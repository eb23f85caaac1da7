"""Makes the result of a step exactly-once: claim, perform, commit under the fence.

llm and tool steps are claimed before anything leaves; functions and code are pure and are recorded once, at their
end. The claim of an llm step is part of the transaction that sets its money aside: one commit before the call, one
after. A tool step is claimed when its arguments, and so its effect class, are known; where its effect may have happened
and must not happen twice it ends in doubt. A transactional tool's effect is part of the commit that records it.

The output, what it cost, its spans and the settlement of its budget are one transaction. When the database is
away at that moment the attempt waits for it: what was bought must not be lost for want of a second's patience.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.map_results import facts_of_paged
from activities.paged_output import PagedOutput
from activities.payloads import StepDone
from activities.resources import Resources
from activities.step_context import Ending, StepContext
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.database import is_database_away
from agentflow.digest import sha256_hex
from agentflow.errors import AgentflowError
from agentflow.large_values import beside_loop, canonical_json_in_pieces
from agentflow.statements import Rows, Statement, execute_each
from agentflow.storable_text import storable_text
from observability.telemetry.logging import get_logger
from runs.doubt_repository import DoubtRepository
from runs.effects import EffectClass
from runs.errors import DeterminismViolation, EffectInDoubt, StaleFence, StepClaimed
from runs.facts import extract_facts, finish_fact
from runs.journal_repository import (
    Claim,
    EffectJournal,
    claim_statement,
    commit_statement,
    effect_key,
    record_statement,
)
from runs.models import StepOutput, StepState
from runs.paged_list import PAGED_LIST_MEDIA_TYPE, encode_paged_list

_log = get_logger(__name__)

#: A claim outlives its attempt's own time limit by this much.
_LEASE_MARGIN_SECONDS = 15.0
#: How long an attempt that has its result waits for a database that is away.
PATIENCE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 2.0
#: What gives the same output however often it runs.
PURE_KINDS = frozenset({"function", "code"})
MAX_ERROR_CHARACTERS = 2_000
#: Whose fate may remain unknown.
_DOUBTFUL = frozenset({EffectClass.PROBE, EffectClass.AT_MOST_ONCE})

_Result = TypeVar("_Result")


class EffectJournalInterceptor(StepInterceptor):
    """Gives a recorded result back without performing the step again."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> StepDone:
        """The recorded result; raises StepClaimed, DeterminismViolation or StaleFence besides what the step raises."""
        step = _JournaledStep(self._resources, context)
        try:
            if step.begin():
                return await step.perform_within_transaction(proceed)
            return await step.commit(await proceed())
        except _Recorded as found:
            return self._reused(context, found.output)
        except asyncio.CancelledError:
            ending = Ending(status="cancelled", error_code="step.cancelled")
            await asyncio.shield(step.fail(ending, "the step was cancelled"))
            raise
        except (StepClaimed, StaleFence, DeterminismViolation, EffectInDoubt):
            # The row is another attempt's, another request's, or a person's: it is not ours to write.
            raise
        except AgentflowError as error:
            recorded = await step.fail(Ending(status="error", error_code=error.code, message=str(error)), str(error))
            return self._after_failure(step, recorded, error)
        except Exception as error:  # noqa: BLE001  # A defect, or a database that is gone: the journal should know.
            recorded = await step.fail(Ending(status="error", error_code="step.unexpected"), type(error).__name__)
            return self._after_failure(step, recorded, error)

    @staticmethod
    def _after_failure(step: "_JournaledStep", recorded: StepOutput | None, error: Exception) -> StepDone:
        if recorded is not None:
            return EffectJournalInterceptor._reused(step.context, recorded)
        if step.is_in_doubt:
            raise EffectInDoubt(node_id=step.context.call.node_id, item_index=step.context.call.item_index) from error
        raise error

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
        #: True once a person must say what became of the effect.
        self.is_in_doubt = False

    @property
    def context(self) -> StepContext:
        """The step's own."""
        return self._context

    def begin(self) -> bool:
        """Lets an llm or tool step be claimed where it is called; True when its effect is part of the last commit."""
        kind = self._context.leaf.kind
        if kind in PURE_KINDS:
            return False
        self._context.claiming = self
        return kind == "tool" and self._resources.tool(self._context.leaf).transactional

    async def claim(self) -> None:
        """Claims a step whose effect class is known; raises EffectInDoubt besides what `refused` raises."""
        async with self._resources.database.transaction() as session:
            await self._claim_in(session)
            await self._inherit_doubt(session)
        # After the commit: that it is in doubt is recorded.
        if self.is_in_doubt:
            call = self._context.call
            raise EffectInDoubt(node_id=call.node_id, item_index=call.item_index)

    def statement(self) -> Statement:
        """Claims the step."""
        lease_seconds = self._context.timeout.run_seconds + _LEASE_MARGIN_SECONDS
        return claim_statement(self._context.journal_request(), lease_seconds=lease_seconds)

    def take(self, rows: Rows) -> bool:
        """Whether the claim is ours."""
        if not rows:
            return False
        if rows[0].state == StepState.IN_DOUBT:
            self._note_doubt(EffectClass.AT_MOST_ONCE)
            return True
        self._context.fence, self._context.unsettled = rows[0].fence, rows[0].unsettled
        self._claim = Claim(effect_key=effect_key(self._context.key), fence=self._context.fence)
        return True

    async def refused(self, session: AsyncSession) -> NoReturn:
        """Raises StepClaimed, DeterminismViolation, or the way out with what is recorded."""
        raise _Recorded(await EffectJournal(session).existing(self._context.journal_request()))

    async def commit(self, output: Any) -> StepDone:
        """Stores the output and all that belongs to it in one flight and one commit."""
        context = self._context
        own, statements = await self._closing_statements(output)

        _, recorded, *_ = await self._patiently(lambda: self._resources.database.fly(statements))
        kept = own if recorded else await self._in_transaction(lambda session: self._kept(session, own))
        if kept is None:
            raise StaleFence(node_id=context.call.node_id, fence=context.fence)
        if kept == own:
            self._remember(own, output)
        return _done(kept)

    async def perform_within_transaction(self, proceed: Proceed) -> StepDone:
        """Performs the step and records it in one transaction: either both are so, or neither; raises StaleFence."""
        context = self._context
        try:
            async with self._resources.database.transaction() as session:
                context.session = session
                output = await proceed()
                own, (stored, recording, *closing) = await self._closing_statements(output)
                await execute_each(session, [stored])
                if (await session.execute(recording.clause, recording.parameters)).first() is None:
                    raise StaleFence(node_id=context.call.node_id, fence=context.fence)
                await execute_each(session, closing)
        finally:
            context.session = None
        self._remember(own, output)
        return _done(own)

    async def _closing_statements(self, output: Any) -> tuple[StepOutput, list[Statement]]:
        """What is to be recorded, and how: the content, the journal's row, and all that belongs to it."""
        context = self._context
        if isinstance(output, PagedOutput):
            media_type = PAGED_LIST_MEDIA_TYPE
            digest, content = encode_paged_list(output.paged)
            facts = facts_of_paged(context.node, output.paged)
        else:
            media_type = JSON_MEDIA_TYPE
            digest, content, facts = await beside_loop(lambda: self._encoded(output), on=output, owner=context.org_id)
        own = StepOutput(digest=digest, size_bytes=len(content), facts=facts)
        stored = await self._patiently(
            lambda: self._resources.blobs.put_statement(
                org_id=context.org_id,
                digest=digest,
                content=content,
                media_type=media_type,
                now=self._resources.clock.now(),
            )
        )
        return own, [stored, self._recording(own), *_closing(context, Ending(status="ok"))]

    def _encoded(self, output: Any) -> tuple[str, bytes, dict[str, Any]]:
        """The digest of an output, its content and its facts."""
        content = canonical_json_in_pieces(output)
        return sha256_hex(content), content, self._facts(output)

    def _facts(self, output: Any) -> dict[str, Any]:
        context = self._context
        if context.own_facts is not None:
            return context.own_facts
        reason = None if context.response is None else context.response.finish_reason
        return {**extract_facts(output, context.node.facts), **finish_fact(reason)}

    def _remember(self, own: StepOutput, output: Any) -> None:
        if isinstance(output, PagedOutput):
            return
        self._resources.remember_json(
            org_id=self._context.org_id, digest=own.digest, value=output, size_bytes=own.size_bytes
        )

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
        except (StepClaimed, DeterminismViolation, EffectInDoubt) as error:
            # The row is another attempt's; what this one spent is told all the same.
            self.is_in_doubt = self.is_in_doubt or isinstance(error, EffectInDoubt)
            await self._close(ending)
        except Exception as error:  # noqa: BLE001  # The failure itself is what Temporal must hear of.
            # The holds are the sweeper's now. Without the chain of causes, which may quote content.
            reason = type(error).__name__
            _log.error("step.failure_not_recorded", run_id=context.run_id, step=context.where, reason=reason)
        return None

    async def _close(self, ending: Ending) -> None:
        await self._in_transaction(lambda session: execute_each(session, _closing(self._context, ending)))

    async def _claim_in(self, session: AsyncSession) -> None:
        statement = self.statement()
        if not self.take(list(await session.execute(statement.clause, statement.parameters))):
            await self.refused(session)

    async def _inherit_doubt(self, session: AsyncSession) -> None:
        """A run that repeats another does not silently do what that one may have done."""
        context, is_first = self._context, self._context.fence == 1
        if self._claim is None or not is_first or context.effect_class not in _DOUBTFUL:
            return
        doubts = DoubtRepository(session)
        if await doubts.is_left_by_earlier_run(context.key):
            await doubts.inherit(context.key, fence=context.fence)
            self._note_doubt(context.effect_class)

    def _note_doubt(self, effect_class: EffectClass) -> None:
        self._claim, self.is_in_doubt = None, True
        self._resources.metrics.record_doubt(effect_class=effect_class.value)

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
        context, claim = self._context, self._claim
        effect = context.effect_class
        if context.unsettled and (context.is_unknowable or effect is EffectClass.AT_MOST_ONCE):
            state, code = StepState.IN_DOUBT, EffectInDoubt.code
        recorded = await journal.fail(
            claim,
            state=state,
            error_code=code,
            error_message=message,
            usage=context.usage(),
            # It is not known yet what an attempt is that fails before its arguments are; the row knows.
            unsettled=context.unsettled and effect in {None, EffectClass.PROBE},
        )
        if not recorded:
            await journal.add_cost(claim, context.cost_micro_usd)
        elif state is StepState.IN_DOUBT and effect is not None:
            self._note_doubt(effect)

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
                if not is_database_away(error) or asyncio.get_running_loop().time() > deadline:
                    raise
                _log.warning("database.away", pause_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _seconds(self) -> float:
        return max((self._resources.clock.now() - self._context.started_at).total_seconds(), 0.0)


def _closing(context: StepContext, ending: Ending) -> list[Statement]:
    # Innermost first: what a call adds to the trace is there when the trace is written.
    return [statement for action in reversed(context.closing) for statement in action(ending)]


def _done(output: StepOutput) -> StepDone:
    return StepDone(digest=output.digest, size_bytes=output.size_bytes, facts=dict(output.facts))
