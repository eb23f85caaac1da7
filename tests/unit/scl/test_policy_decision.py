import pytest

from scl.models import ContextPolicy, InjectionScore, PiiFinding, PiiKind
from scl.policy_decision import decide

FOUND = (PiiFinding(kind=PiiKind.EMAIL, count=2),)
ATTACK = InjectionScore(score=0.85, rules=("override.ignore",))


def test_a_value_with_nothing_in_it_is_allowed_by_the_strictest_policy() -> None:
    decision = decide(ContextPolicy(pii="block", injection="block", injection_threshold=0.0), (), InjectionScore())

    assert decision.effect == "allow"
    assert decision.reason == "nothing was found"


def test_an_attack_is_denied_where_the_policy_blocks() -> None:
    decision = decide(ContextPolicy(injection="block"), (), ATTACK)

    assert decision.is_denied
    assert decision.ground == "injection"
    assert "override.ignore" in decision.reason


@pytest.mark.parametrize("injection", ["flag", "off"])
def test_an_attack_is_let_through_where_the_policy_does_not_block(injection: str) -> None:
    policy = ContextPolicy(injection="flag" if injection == "flag" else "off")

    assert not decide(policy, (), ATTACK).is_denied


@pytest.mark.parametrize(("threshold", "is_denied"), [(0.84, True), (0.85, True), (0.86, False), (0.0, True)])
def test_the_threshold_belongs_to_what_is_blocked(threshold: float, is_denied: bool) -> None:
    policy = ContextPolicy(injection="block", injection_threshold=threshold)

    assert is_denied == decide(policy, (), ATTACK).is_denied


@pytest.mark.parametrize(("pii", "effect"), [("redact", "allow"), ("allow", "allow"), ("block", "deny")])
def test_personal_data_is_denied_only_where_the_policy_blocks_it(pii: str, effect: str) -> None:
    policies = {"redact": ContextPolicy(), "allow": ContextPolicy(pii="allow"), "block": ContextPolicy(pii="block")}

    decision = decide(policies[pii], FOUND, InjectionScore())

    assert effect == decision.effect
    assert decision.ground == "pii"
    assert "2 EMAIL" in decision.reason


def test_an_attack_outweighs_personal_data() -> None:
    decision = decide(ContextPolicy(pii="block", injection="block"), FOUND, ATTACK)

    assert decision.ground == "injection"


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 80.0, float("nan")])
def test_a_threshold_that_would_switch_blocking_off_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="injection_threshold"):
        ContextPolicy(injection_threshold=threshold)
