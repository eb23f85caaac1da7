"""The rules by which text is taken for a prompt injection: what each one looks for, how much it says, and why.

Heuristics on purpose. They catch the plain forms of an attack in English and the usual ways of hiding one; published
measurements give such rules a precision above 0.9 and a recall of about a quarter. They inform a policy; they
are not a boundary.

Patterns read a canonical, lower-case view (`canonical`) or the text as it came (`raw`). Each is bounded, so that the
time to read a text grows linearly with it: what repeats without bound is one class of characters, never a group, and
begins behind a word. None is an f-string, in which `{1,40}` is a tuple.
"""

import re
from dataclasses import dataclass
from typing import Literal

from scl.normalisation import TAGS, ZERO_WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionRule:
    """One sign of an injection."""

    rule_id: str
    #: The probability-like share that the rule adds: score = 1 - product of (1 - weight).
    weight: float
    reason: str
    pattern: re.Pattern[str]
    #: Literals of which each match of the pattern holds at least one; text without them is not searched.
    anchors: tuple[str, ...] = ()
    view: Literal["canonical", "raw"] = "canonical"


def _rule(rule_id: str, weight: float, reason: str, pattern: str, *anchors: str) -> InjectionRule:
    compiled = re.compile(pattern, re.MULTILINE)
    return InjectionRule(rule_id=rule_id, weight=weight, reason=reason, pattern=compiled, anchors=anchors)


def _raw_rule(rule_id: str, weight: float, reason: str, pattern: str) -> InjectionRule:
    compiled = re.compile(pattern)
    return InjectionRule(rule_id=rule_id, weight=weight, reason=reason, pattern=compiled, view="raw")


_SAY = (
    r"\b(?:reveal|print|show|repeat|output|display|leak|disclose|expose|dump|recite|tell me|give me|what (?:is|are))\b"
)
#: Up to forty characters of one field: `\0` parts the fields of a JSON value.
_GAP = r"[^\0]{0,40}?"
_ORDERS = r"(?:instruction|prompt|rule|direction|directive|guideline|command|order|context|message)s?"

RULES: tuple[InjectionRule, ...] = (
    _rule(
        "override.ignore",
        0.85,
        "asks to ignore the instructions that the model was given",
        r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|overrid(?:e|ing)|do not follow|don't follow|stop following)\s+"
        r"(?:\w{1,40}\s+){0,2}?(?:(?:all|any|the|your|my|our|these|those|of)\s+){0,3}"
        r"(?:(?:previous|prior|above|preceding|earlier|existing|original|initial|system|given|current)\s+"
        r"(?:\w{1,40}\s+){0,2}?" + _ORDERS + r"|" + _ORDERS + r"\s+(?:above|before|so far|you (?:were|have been) given)"
        r"|everything\s+(?:above|before|so far|you were (?:told|given)))\b",
        "ignor",
        "disregard",
        "overrid",
        "follow",
    ),
    _rule(
        "override.forget",
        0.75,
        "asks to forget what came before",
        r"\bforget\s+(?:about\s+)?(?:everything|all|anything|what|your|the)\b[^\0.\n]{0,30}?"
        r"\b(?:above|before|previous(?:ly)?|prior|told|learned|said|" + _ORDERS + r")\b",
        "forget",
    ),
    _rule(
        "override.new_task",
        0.5,
        "announces instructions that replace the task",
        r"\b(?:(?:new|updated|revised|real|actual|true)\s+(?:system\s+)?(?:instructions?|task|objective|goal|prompt)"
        r"\s*(?::|\bis\b|\bare\b)|from now on,?\s+you\s+(?:must|will|shall|are|should|only))",
        "instruction",
        "task",
        "objective",
        "goal",
        "prompt",
        "from now on",
    ),
    _rule(
        "override.safety",
        0.65,
        "asks to switch safety off",
        r"\b(?:bypass|disable|turn off|circumvent|override|ignore|disregard|without)\s+"
        r"(?:(?:all|any|your|the|its|of)\s+){0,3}(?:safety|content|ethical|moderation|security|openai|anthropic)\s+"
        r"(?:\w{1,40}\s+)?(?:guardrail|filter|polic|restriction|guideline|check|protocol|measure|mechanism"
        r"|instruction|rule)",
        "bypass",
        "disable",
        "turn off",
        "circumvent",
        "override",
        "ignore",
        "disregard",
        "without",
    ),
    _rule(
        "role.template_token",
        0.85,
        "carries the control tokens of a chat template",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>"
        r"|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>",
        "<|",
        "inst]",
        "sys>>",
        "_of_turn>",
    ),
    _rule(
        "role.fake_turn",
        0.4,
        "has a line that poses as a turn of the system or the assistant",
        r"^[ \t>#*\[<(]*(?:system|assistant|developer)(?: (?:message|prompt|note|override))?[\])>*]*[ \t]*:[ \t]*\S",
        "system",
        "assistant",
        "developer",
    ),
    _rule(
        "role.reassign",
        0.35,
        "gives the model another role",
        r"\b(?:you are now|you're now|pretend (?:to be|you are|you're)"
        r"|(?:act|behave|respond) as if you (?:are|were|have)|assume the role of|roleplay as)\b",
        "you are now",
        "you're now",
        "pretend",
        "as if you",
        "assume the role",
        "roleplay",
    ),
    _rule(
        "role.jailbreak",
        0.7,
        "names a known jailbreak",
        r"\bdo anything now\b|\b(?:you are|you are now|act as|as) dan\b|\bdeveloper mode (?:enabled|on|activated)\b"
        r"|\b(?:an? )?(?:unrestricted|unfiltered|uncensored|jailbroken) (?:ai|assistant|model|llm|chatbot)\b"
        r"|\bno (?:ethical|moral|content) (?:restrictions|limits|guidelines)\b",
        "anything now",
        " dan",
        "developer mode",
        "unrestricted",
        "unfiltered",
        "uncensored",
        "jailbroken",
        "no ethical",
        "no moral",
        "no content",
    ),
    _rule(
        "exfiltration.prompt",
        0.7,
        "asks for the prompt that the model was given",
        _SAY + _GAP + r"\b(?:(?:system|hidden|initial|original|secret|developer) (?:prompt|instructions?|message)"
        r"|your (?:system )?(?:instructions|prompt))\b",
        "prompt",
        "instruction",
        "message",
    ),
    _rule(
        "exfiltration.above",
        0.45,
        "asks to repeat what stands above",
        _SAY + r"\s+(?:back\s+)?(?:everything|(?:all |all of )?(?:the )?(?:text|words|prompt|instructions)) above\b",
        " above",
    ),
    _rule(
        "exfiltration.secrets",
        0.6,
        "asks to send credentials or the conversation away",
        r"\b(?:send|post|upload|forward|exfiltrate|transmit|e-?mail|submit|leak|append|include)\b"
        + _GAP
        + r"\b(?:api[ _-]?keys?|passwords?|credentials|secret keys?|access tokens?|private keys?"
        r"|environment variables|chat history|(?:the|this|our|entire|full) conversation)\b",
        "key",
        "password",
        "credentials",
        "access token",
        "environment variables",
        "chat history",
        "conversation",
    ),
    _rule(
        "exfiltration.url",
        0.6,
        "has a link or image whose address is to be filled with data",
        r"https?://[^\s\0()<>\"']{1,200}[?&/=](?:\{{1,2}[^}\s\0]{1,60}\}|\$\{[^}\s\0]{1,60}\}|\[[^\]\n\0]{1,60}\]|<[^>\n\0]{1,60}>)",
        "http://",
        "https://",
    ),
    _rule(
        "tool.invocation",
        0.5,
        "orders a tool or command to be run at once or in secret",
        r"\b(?:call|use|invoke|execute|run|trigger)\s+(?:the\s+|your\s+)?[\w.-]{1,40}\s+(?:tool|function|command|plugin)\b"
        r"[^\0]{0,60}?\b(?:immediately|silently|secretly|right now|at once|before (?:answering|responding|replying))\b",
        "immediately",
        "silently",
        "secretly",
        "right now",
        "at once",
        "before ",
    ),
    _rule(
        "concealment.user",
        0.6,
        "asks to keep something from the user",
        r"\b(?:do not|don't|never|without)\s+(?:tell|telling|inform|informing|mention|mentioning|notify|notifying|alert"
        r"|alerting|reveal|revealing|disclose|disclosing)" + _GAP + r"\b(?:the )?(?:user|human|operator)\b",
        "user",
        "human",
        "operator",
    ),
    _rule(
        "address.model",
        0.45,
        "speaks to a model that reads the text",
        r"\b(?:attention|note (?:to|for)|message (?:to|for)|instructions? (?:to|for))[\s,:]+(?:the |any |all )?"
        r"(?:ai|a\.i\.|llms?|language models?|assistants?|chatbots?|ai (?:assistants?|agents?|models?|systems?))\b"
        r"|\bif you are an? (?:ai|llm|language model|assistant|ai \w+)\b",
        "attention",
        "note ",
        "message ",
        "instruction",
        "if you are a",
    ),
    _rule(
        "encoding.obey",
        0.6,
        "asks to decode something and to obey it",
        r"\b(?:decode|decrypt|deobfuscate|base64|rot13|unscramble)\b[^\0]{0,60}?"
        r"\b(?:and|then)\s+(?:follow|execute|run|obey|do|perform|carry out|comply)\b",
        "decode",
        "decrypt",
        "deobfuscate",
        "base64",
        "rot13",
        "unscramble",
    ),
    _raw_rule(
        "hidden.tag_text",
        0.9,
        "hides text in Unicode tag characters, which people cannot see",
        "[" + TAGS + "]{8}",
    ),
    _raw_rule(
        "hidden.interleaved",
        0.6,
        "has invisible characters between the letters of a word",
        "(?:[A-Za-z][" + ZERO_WIDTH + "]{1,4}){3}[A-Za-z]",
    ),
    _raw_rule(
        "hidden.bidi_override",
        0.4,
        "overrides the direction of text, so that people read something else than a model",
        "[\u202d\u202e]",
    ),
)
