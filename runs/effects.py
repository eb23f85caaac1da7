"""What may be done about a step whose attempt ended without a word: the four classes of effects."""

from enum import StrEnum


class EffectClass(StrEnum):
    """What a second call would do to the world, and so what a lost attempt is followed by."""

    #: Nothing but to cost once more: it is called again, and counted as a possible duplicate.
    PURE = "pure"
    #: Nothing, when it brings the same idempotency key: it is called again with that key.
    IDEMPOTENT = "idempotent"
    #: The tool can find out whether it was done: it is asked before anything is called again.
    PROBE = "probe"
    #: It would be done twice: it is never called again unless a person says so.
    AT_MOST_ONCE = "at_most_once"
