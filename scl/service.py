"""What the rest of AgentFlow asks of the Secure Context Layer: protect what goes in, restore what comes out."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.clock import Clock
from agentflow.digest import Json
from agentflow.statements import Statement, execute_each
from scl.errors import InjectionBlocked, PolicyDenied
from scl.injection_scorer import score_injection
from scl.json_text import collect_text
from scl.models import ContextPolicy, InjectionScore, PiiFinding, PiiKind, ProtectedValue
from scl.pii_findings import summarise
from scl.policy_decision import decide
from scl.redaction import find_pii_in_json, redact_json, restore_json, tokens_in, tokens_in_disguise
from scl.repository import VaultRepository, store_statement
from scl.token_vault import SealedToken, TokenVault

#: Text beyond this is read in a thread, so that other work of the process goes on meanwhile.
_INLINE_CHARS = 64 * 1024

_Result = TypeVar("_Result")


async def protect_value(
    vault: TokenVault, *, org_id: str, value: Json, policy: ContextPolicy, where: str, now: datetime
) -> tuple[ProtectedValue, list[Statement]]:
    """As `SecureContext.protect`, for a caller with a transaction of its own.

    The statements store the tokens; they must have been committed before the value leaves.
    """
    examination = await _run_sized(_text_size(value), lambda: _examine(vault, org_id, value, policy))
    decision = decide(policy, examination.findings, examination.injection)
    if decision.is_denied and decision.ground == "injection":
        injection = examination.injection
        raise InjectionBlocked(where=where, score=injection.score, rules=injection.rules)
    if decision.is_denied:
        raise PolicyDenied(action=f"the use of {where}", reason=decision.reason)
    protected = ProtectedValue(
        value=examination.value,
        findings=examination.findings,
        tokens=tuple(sorted({sealed.token for sealed in examination.sealed})),
        injection=examination.injection,
    )
    if not examination.sealed:
        return protected, []
    return protected, [store_statement(org_id=org_id, tokens=examination.sealed, created_at=now)]


class SecureContext:
    """Applies a node's context policy to values, within the caller's transaction."""

    def __init__(self, session: AsyncSession, vault: TokenVault, clock: Clock) -> None:
        self._session = session
        self._repository = VaultRepository(session)
        self._vault = vault
        self._clock = clock

    async def protect(self, *, org_id: str, value: Json, policy: ContextPolicy, where: str) -> ProtectedValue:
        """`value` as `policy` lets it go on to a model or tool; tokens that are new are stored.

        `where` names the value in errors, such as `input of node 'analyze'`.
        Raises InjectionBlocked and PolicyDenied; nothing is stored then.
        """
        protected, storing = await protect_value(
            self._vault, org_id=org_id, value=value, policy=policy, where=where, now=self._clock.now()
        )
        await execute_each(self._session, storing)
        return protected

    async def known_tokens(self, *, org_id: str, value: Json) -> tuple[str, ...]:
        """The tokens in `value` that stand for data of this organisation, sorted; what only looks like one does not."""
        tokens = await _run_sized(_text_size(value), lambda: tokens_in_disguise(value))
        if not tokens:
            return ()
        found = await self._repository.fetch_tokens(org_id=org_id, tokens=tokens)
        return tuple(sorted(sealed.token for sealed in found))

    async def restore(self, *, org_id: str, run_id: str, node_id: str, value: Json) -> Json:
        """`value` with this organisation's tokens replaced by what they stand for; unknown ones stay.

        Whether a node may do so is its policy's `restore`, which the caller asks. One audit row is written
        when at least one token was replaced. Raises VaultKeyMismatch.
        """
        size = _text_size(value)
        tokens = await _run_sized(size, lambda: tokens_in(value))
        if not tokens:
            return value
        found = await self._repository.fetch_tokens(org_id=org_id, tokens=tokens)
        if not found:
            return value
        restored = await _run_sized(size, lambda: self._restore(org_id, value, found))
        kinds = Counter(sealed.kind for sealed in found)
        await self._repository.record_detokenisation(
            org_id=org_id, run_id=run_id, node_id=node_id, kinds=kinds, created_at=self._clock.now()
        )
        return restored

    def _restore(self, org_id: str, value: Json, found: list[SealedToken]) -> Json:
        return restore_json(value, {sealed.token: self._vault.open(org_id, sealed) for sealed in found})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examination:
    """What one reading of a value gave."""

    value: Json = field(repr=False)
    injection: InjectionScore
    findings: tuple[PiiFinding, ...]
    sealed: tuple[SealedToken, ...] = ()


def _examine(vault: TokenVault, org_id: str, value: Json, policy: ContextPolicy) -> "_Examination":
    injection = InjectionScore() if policy.injection == "off" else score_injection(value)
    if policy.pii != "redact":
        return _Examination(value=value, injection=injection, findings=summarise(find_pii_in_json(value)))
    sealed: list[SealedToken] = []

    def tokenise(kind: PiiKind, text: str) -> str:
        sealed.append(vault.tokenise(org_id, kind, text))
        return sealed[-1].token

    redaction = redact_json(value, tokenise)
    return _Examination(
        value=redaction.value, injection=injection, findings=summarise(redaction.matches), sealed=tuple(sealed)
    )


def _text_size(value: Json) -> int:
    text = collect_text(value)
    return sum(map(len, text.values)) + sum(map(len, text.keys))


async def _run_sized(size_chars: int, work: Callable[[], _Result]) -> _Result:
    """`work` at once for little text, in a thread for much."""
    return work() if size_chars <= _INLINE_CHARS else await asyncio.to_thread(work)
