"""Who gets the canary: a split that is sticky, needs no memory, and only grows when the ratio grows."""

from agentflow.digest import keyed_digest
from promptops.models import Arm

#: As many bits as a double holds exactly, in whole hex digits.
_HEX_DIGITS = 13
_POINTS = 1 << (4 * _HEX_DIGITS)


def sticky_point(sticky_key: str, prompt_name: str) -> float:
    """Where the key falls in [0, 1): uniform over keys, independent between prompts, the same for ever."""
    return int(keyed_digest("canary", prompt_name, sticky_key)[:_HEX_DIGITS], 16) / _POINTS


def assign(sticky_key: str, prompt_name: str, canary_ratio: float) -> Arm:
    """The arm that serves `sticky_key`.

    The point of a key does not depend on the ratio, so a key that gets the canary at 0.1 gets it at 0.2 as well.
    """
    return "canary" if sticky_point(sticky_key, prompt_name) < canary_ratio else "stable"
