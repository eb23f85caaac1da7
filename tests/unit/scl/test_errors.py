from agentflow.errors import leaf_errors
from scl.errors import InjectionBlocked, PolicyDenied, SclError


def test_each_error_has_a_stable_code_of_its_own() -> None:
    codes = [leaf.code for leaf in leaf_errors(SclError)]

    expected = [
        "scl.injection_blocked",
        "scl.invalid_schema",
        "scl.policy_denied",
        "scl.schema_violation",
        "scl.vault_key_mismatch",
    ]
    assert expected == codes


def test_facts_are_attributes_and_the_message_says_what_to_do() -> None:
    blocked = InjectionBlocked(where="input of node 'a'", score=0.91, rules=["override.ignore"])
    denied = PolicyDenied(action="the use of input", reason="1 CARD found")

    assert (blocked.score, blocked.rules) == (0.91, ("override.ignore",))
    assert "injection: flag" in str(blocked)
    assert (denied.action, denied.reason) == ("the use of input", "1 CARD found")
