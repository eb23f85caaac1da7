"""What the cost-aware scheduler refuses, and what model vendors answer instead of an answer.

CasError
├── BudgetExceeded                the call would take a budget below zero
├── BudgetOnHold                  it would not, if calls under way cost less than they may
├── BudgetNotFound
├── BudgetInvalid
├── ModelUnpriced                 no price is known, and none is assumed
├── NoModelAvailable              no configured model may serve the tier
├── RoutesExhausted               every route was tried and failed
├── RateLimitReached              the settings let no call out yet
├── ProviderNotConfigured         a setting is missing
└── ProviderError                 one call to one model failed
    ├── RateLimited               wait, or go elsewhere
    ├── ProviderUnavailable       5xx, or the connection was refused, reset or cut
    ├── ProviderTimeout           no answer in time; whether it was billed is unknown
    ├── ProviderRejected          the request itself is wrong: the same again fails the same
    ├── ProviderAuthenticationFailed  key, permission or credit
    ├── ContentRefused            the vendor's content policy, instead of an answer
    ├── ContextTooLong            the prompt does not fit this model
    └── MalformedProviderResponse the answer cannot be read

No message holds prompt text, answer text or a key: vendors quote all three in theirs.
"""

from typing import ClassVar

from agentflow.errors import AgentflowError
from agentflow.money import MicroUsd


class CasError(AgentflowError):
    """Anything that the cost-aware scheduler refuses or fails at."""

    code: ClassVar[str] = "cas.error"


class BudgetExceeded(CasError):
    """The call would take this budget below zero."""

    code = "budget.exceeded"

    def __init__(self, *, budget_id: str, missing: MicroUsd, scope: str) -> None:
        self.budget_id, self.missing, self.scope = budget_id, missing, scope
        super().__init__(f"budget {budget_id!r} ({scope}) lacks {missing} micro-USD for this call; raise it or wait")


class BudgetOnHold(CasError):
    """The call fits its budgets, but not beside what other calls hold until they have ended; nothing was sent."""

    code = "budget.on_hold"

    def __init__(self, *, budget_id: str, missing: MicroUsd, scope: str, retry_after_seconds: float = 1.0) -> None:
        self.budget_id, self.missing, self.scope = budget_id, missing, scope
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"budget {budget_id!r} ({scope}) lacks {missing} micro-USD for this call until calls under way have ended; "
            "the step waits for that"
        )


class BudgetNotFound(CasError):
    """No budget of this organisation has this id."""

    code = "budget.not_found"

    def __init__(self, *, budget_id: str) -> None:
        self.budget_id = budget_id
        super().__init__(f"there is no budget {budget_id!r}")


class BudgetInvalid(CasError):
    """A budget that cannot be: its limits or its scope contradict themselves."""

    code = "budget.invalid"

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the budget is not valid: {reason}")


class ModelUnpriced(CasError):
    """No price is known for the model; an unknown price is never taken for zero."""

    code = "model.unpriced"

    def __init__(self, *, provider: str, model: str) -> None:
        self.provider, self.model = provider, model
        super().__init__(
            f"no price is known for {provider} {model!r}: set input_micro_usd_per_million_tokens and "
            "output_micro_usd_per_million_tokens of its entry in MODELS (0 when it is free)"
        )


class NoModelAvailable(CasError):
    """No configured model may serve a call of this tier."""

    code = "model.none_available"

    def __init__(self, *, tier: str, reason: str) -> None:
        self.tier, self.reason = tier, reason
        super().__init__(f"no model can serve the {tier} tier: {reason}")


class RoutesExhausted(CasError):
    """Every route of a call was tried, and each one failed."""

    code = "model.routes_exhausted"

    def __init__(self, *, attempts: tuple[str, ...]) -> None:
        self.attempts = attempts
        super().__init__(f"all {len(attempts)} routes failed: {'; '.join(attempts)}")


class RateLimitReached(CasError):
    """The settings let no call out to a model yet; nothing was sent."""

    code = "model.rate_limit_reached"

    def __init__(self, *, provider: str, model: str, retry_after_seconds: float) -> None:
        self.provider, self.model = provider, model
        #: When it is the call's turn.
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"the limit of RATE_LIMITS for {provider} {model!r} is reached; the step comes again in "
            f"{retry_after_seconds:.1f} s, when it is its turn"
        )


class ProviderNotConfigured(CasError):
    """The provider cannot be built, because a setting is missing or wrong."""

    code = "provider.not_configured"

    def __init__(self, *, provider: str, setting: str, advice: str) -> None:
        self.provider, self.setting = provider, setting
        super().__init__(f"provider {provider!r} is not configured: {setting} {advice}")


class ProviderError(CasError):
    """One call to one model of one vendor failed.

    `reason` is a vendor's short error code or words of ours, never the vendor's own message.
    """

    code = "provider.failed"
    #: What happened, as the message tells it.
    fact: ClassVar[str] = "the call failed"
    #: True when no connection was made, so that the vendor cannot have billed anything.
    never_sent: bool = False

    def __init__(self, *, provider: str, model: str, status: int | None = None, reason: str | None = None) -> None:
        self.provider, self.model, self.status, self.reason = provider, model, status, reason
        details = ", ".join(
            part for part in (f"HTTP status {status}" if status is not None else "", reason or "") if part
        )
        super().__init__(f"{provider} {model!r}: {self.fact}" + (f" ({details})" if details else ""))


class RateLimited(ProviderError):
    """The vendor asks to slow down."""

    code = "provider.rate_limited"
    fact = "the vendor's rate limit is reached; wait, or use another model"

    def __init__(
        self,
        *,
        provider: str,
        model: str,
        status: int | None = None,
        reason: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        #: How long the vendor asks to wait; None when it does not say.
        self.retry_after_seconds = retry_after_seconds
        super().__init__(provider=provider, model=model, status=status, reason=reason)


class ProviderUnavailable(ProviderError):
    """The vendor failed (5xx), or its connection was refused, reset or cut."""

    code = "provider.unavailable"
    fact = "the vendor is not available; try again, or use another model"

    def __init__(
        self,
        *,
        provider: str,
        model: str,
        status: int | None = None,
        reason: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        #: How long the vendor asks to wait; None when it does not say.
        self.retry_after_seconds = retry_after_seconds
        super().__init__(provider=provider, model=model, status=status, reason=reason)


class ProviderTimeout(ProviderError):
    """No whole answer came in time; whether the vendor bills the call is not known."""

    code = "provider.timed_out"
    fact = "no whole answer came in time; allow more seconds, or use another model"


class ProviderRejected(ProviderError):
    """The vendor refuses this request for good: the same again would fail the same."""

    code = "provider.rejected"
    fact = "the vendor rejects the request; correct the model's name or the parameters"


class ProviderAuthenticationFailed(ProviderError):
    """The key is wrong, lacks the permission, or its account has no credit left."""

    code = "provider.authentication_failed"
    fact = "the vendor does not accept the account; check its key, permissions and credit"


class ContentRefused(ProviderError):
    """The vendor's content policy refuses the request before any answer."""

    code = "provider.content_refused"
    fact = "the vendor's content policy refuses the request"


class ContextTooLong(ProviderError):
    """The prompt and the answer's limit do not fit this model's context."""

    code = "provider.context_too_long"
    fact = "the request does not fit the model's context; shorten it, or use a model with a larger one"


class MalformedProviderResponse(ProviderError):
    """An answer came that cannot be read: not the protocol, or cut short."""

    code = "provider.malformed_response"
    fact = "the vendor's answer cannot be read"
