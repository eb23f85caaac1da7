"""Scores how much a text reads like a prompt injection, by the rules of `injection_rules`; pure and deterministic."""

import math
import re
from bisect import bisect_right

from agentflow.digest import Json
from scl.injection_rules import RULES, InjectionRule
from scl.json_text import collect_text
from scl.models import InjectionScore
from scl.normalisation import canonical_text, has_invisible

#: What is left of a rule's weight where text only speaks of an attack (mention) instead of making one (use).
MENTION_DISCOUNT = 0.3

_RAW_RULES = tuple(rule for rule in RULES if rule.view == "raw")
_CANONICAL_RULES = tuple(rule for rule in RULES if rule.view == "canonical")

_FIELD_BREAK = "\n\0\n"
_QUOTED = re.compile(r'"[^"\n\0]{1,200}"|“[^”\n\0]{1,200}”|«[^»\n\0]{1,200}»|`[^`\n\0]{1,200}`')
#: A quotation is a mention only where words before it introduce it as one: quoting alone costs an attacker nothing.
_MENTION_CUE = re.compile(
    r"\b(?:such as|e\.g\.|for example|for instance|like|phrases?|strings?|payloads?|patterns?|attacks?|attackers?"
    r"|injections?|jailbreaks?|texts?|inputs?|containing|says?|reads?|writes?|wrote|called)\b[^\n\0]{0,40}\Z"
)
_CUE_CHARS = 100


def score_injection(value: Json) -> InjectionScore:
    """The score of a text, or of all strings of a JSON value, names of members included, as one text.

    1 - product of (1 - weight) over the distinct rules that fire; 0 when none does.
    """
    raw = _joined(value)
    weights = {**_weights_of_hidden(raw), **_weights_of_words(canonical_text(raw).lower())}
    score = 1.0 - math.prod(1.0 - weight for weight in weights.values())
    return InjectionScore(score=round(score, 4), rules=tuple(sorted(weights)))


def _weights_of_hidden(raw: str) -> dict[str, float]:
    if not has_invisible(raw):
        return {}
    return {rule.rule_id: rule.weight for rule in _RAW_RULES if rule.pattern.search(raw)}


def _weights_of_words(canonical: str) -> dict[str, float]:
    fired = {rule: spans for rule in _CANONICAL_RULES if (spans := _spans(rule, canonical))}
    if not fired:
        return {}
    quotations = _quotations(canonical)
    weights = {}
    for rule, spans in fired.items():
        is_used = any(not _is_mention(canonical, span, quotations) for span in spans)
        weights[rule.rule_id] = rule.weight * (1.0 if is_used else MENTION_DISCOUNT)
    return weights


def _joined(value: Json) -> str:
    if isinstance(value, str):
        return value
    text = collect_text(value)
    return _FIELD_BREAK.join((*text.values, *text.keys))


def _spans(rule: InjectionRule, text: str) -> list[tuple[int, int]]:
    if not any(anchor in text for anchor in rule.anchors):
        return []
    return [match.span() for match in rule.pattern.finditer(text)]


def _quotations(text: str) -> list[tuple[int, int]]:
    """The spans of short quotations that are introduced as such, in order."""
    return [
        match.span()
        for match in _QUOTED.finditer(text)
        if _MENTION_CUE.search(text, max(0, match.start() - _CUE_CHARS), match.start())
    ]


def _is_mention(text: str, span: tuple[int, int], quotations: list[tuple[int, int]]) -> bool:
    before = bisect_right(quotations, (span[0], len(text))) - 1
    return before >= 0 and span[1] <= quotations[before][1]
