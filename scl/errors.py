"""What the Secure Context Layer refuses or fails at.

SclError
├── SchemaViolation   a value does not have the shape that was promised
├── InvalidSchema     the promise itself is not a usable JSON Schema
├── PolicyDenied      the node's context policy forbids what was asked
├── InjectionBlocked  the text reads like an attack, and the policy blocks those
└── VaultKeyMismatch  a stored value was not sealed with this key
"""

from collections.abc import Sequence

from agentflow.errors import AgentflowError


class SclError(AgentflowError):
    """Anything that the Secure Context Layer refuses or fails at."""

    code = "scl.error"


class SchemaViolation(SclError):
    """A value breaks its JSON Schema; `problems` has one line per fault, each with its JSON path."""

    code = "scl.schema_violation"

    def __init__(self, *, where: str, problems: Sequence[str]) -> None:
        self.where, self.problems = where, tuple(problems)
        super().__init__(f"{where} does not match its schema: {'; '.join(self.problems)}")


class InvalidSchema(SclError):
    """A document is not a JSON Schema of Draft 2020-12 that can be used without the network."""

    code = "scl.invalid_schema"

    def __init__(self, *, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"not a usable JSON Schema (Draft 2020-12): {'; '.join(self.problems)}")


class PolicyDenied(SclError):
    """The context policy of a node forbids an action; changing the policy or the input is the way on."""

    code = "scl.policy_denied"

    def __init__(self, *, action: str, reason: str) -> None:
        self.action, self.reason = action, reason
        super().__init__(f"the context policy denies {action}: {reason}")


class InjectionBlocked(SclError):
    """A value scored as a prompt injection where the policy says `injection: block`."""

    code = "scl.injection_blocked"

    def __init__(self, *, where: str, score: float, rules: Sequence[str]) -> None:
        self.where, self.score, self.rules = where, score, tuple(rules)
        super().__init__(
            f"{where} reads like a prompt injection (score {score:.2f}; {', '.join(self.rules)}): "
            "remove the instructions from the text, or set the node's context policy to injection: flag"
        )


class VaultKeyMismatch(SclError):
    """A sealed value does not open: another VAULT_KEY sealed it, or the row was altered."""

    code = "scl.vault_key_mismatch"

    def __init__(self, *, token: str) -> None:
        self.token = token
        super().__init__(
            f"the stored value of {token} does not open with this VAULT_KEY; "
            "set the key that was in use when it was stored, the same for every worker"
        )
