"""Decides by policy whether a value may go on, from what was found in it; no I/O, so that it can be audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scl.models import ContextPolicy, InjectionScore, PiiFinding
from scl.pii_findings import describe_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Allow or deny, on what ground, and why; holds no value, so it may be logged and stored."""

    effect: Literal["allow", "deny"]
    #: The part of the policy that decided.
    ground: Literal["injection", "pii", "none"]
    reason: str

    @property
    def is_denied(self) -> bool:
        """Whether the value must not go on."""
        return self.effect == "deny"


def decide(policy: ContextPolicy, findings: Sequence[PiiFinding], injection: InjectionScore) -> Decision:
    """What `policy` says about a value with these findings; an attack outweighs personal data."""
    if _blocks(policy, injection):
        return Decision(
            effect="deny",
            ground="injection",
            reason=f"score {injection.score:.2f} reaches the threshold {policy.injection_threshold:.2f} "
            f"({', '.join(injection.rules)})",
        )
    found = describe_findings(findings)
    if found and policy.pii == "block":
        return Decision(effect="deny", ground="pii", reason=f"{found} found, and the policy says pii: block")
    if found:
        handling = "replaced by tokens" if policy.pii == "redact" else "let through as the policy says pii: allow"
        return Decision(effect="allow", ground="pii", reason=f"{found} found, {handling}")
    if injection.rules:
        return Decision(
            effect="allow",
            ground="injection",
            reason=f"score {injection.score:.2f} ({', '.join(injection.rules)}) is flagged only",
        )
    return Decision(effect="allow", ground="none", reason="nothing was found")


def _blocks(policy: ContextPolicy, injection: InjectionScore) -> bool:
    is_attack = bool(injection.rules) and injection.score >= policy.injection_threshold
    return policy.injection == "block" and is_attack
