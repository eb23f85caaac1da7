"""The frozen values of the Secure Context Layer: policies, what was found, and what may go on to a model."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from agentflow.digest import Json


class PiiKind(StrEnum):
    """What kind of personal data a piece of text is; also the first part of its token."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    IBAN = "IBAN"
    IP = "IP"
    SSN = "SSN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPolicy:
    """What a node does with personal data and with text that reads like an attack.

    Raises ValueError for a threshold outside 0..1, which would quietly switch blocking off.
    """

    pii: Literal["redact", "allow", "block"] = "redact"
    injection: Literal["block", "flag", "off"] = "flag"
    #: The score from which `block` blocks, 0 to 1.
    injection_threshold: float = 0.8
    #: Whether tokens in the node's output may be replaced by the values that they stand for.
    restore: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.injection_threshold <= 1.0:
            raise ValueError(f"injection_threshold is {self.injection_threshold}; it must lie between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PiiMatch:
    """Personal data at `start:end` of a text. The value stays out of `repr`, and so out of logs."""

    kind: PiiKind
    start: int
    end: int
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiiFinding:
    """How often one kind of personal data occurs; safe to log and to store."""

    kind: PiiKind
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionScore:
    """How much a text reads like a prompt injection: 0 (not at all) to 1, and the rules that say so."""

    score: float = 0.0
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedValue:
    """A value that its policy lets through, with what was found on the way."""

    value: Json = field(repr=False)
    #: By kind, counting every occurrence.
    findings: tuple[PiiFinding, ...] = ()
    #: The distinct tokens that stand in `value` for personal data, sorted.
    tokens: tuple[str, ...] = ()
    injection: InjectionScore = InjectionScore()
