"""How far a template may go: sizes, steps and processor time.

Steps are counted the same on every machine and are taken before the work is done (`operation_costs`); the time limit
is a second line, for machines that are slow.
"""

import time

from jinja2.exceptions import TemplateRuntimeError

MAX_TEMPLATE_BYTES = 256 * 1024
#: Nodes of the syntax tree; compiling costs some tens of microseconds each.
MAX_TEMPLATE_NODES = 10_000

MAX_INPUT_CHARACTERS = 4 * 1024 * 1024
MAX_INPUT_VALUES = 100_000
MAX_INPUT_DEPTH = 64

MAX_OUTPUT_BYTES = 1024 * 1024
MAX_MESSAGES = 1_000
#: No text made on the way may be longer, whatever becomes of it.
MAX_TEXT_CHARACTERS = 4 * 1024 * 1024
#: No number, given or made on the way, may need more bits; below this, every integer fits a double's range.
MAX_NUMBER_BITS = 1_000

MAX_STEPS = 400_000
#: Characters made on the way cost steps too, so that their sum is bounded.
CHARACTERS_PER_STEP = 64
#: Syntax nodes in a loop's body that are evaluated in one step.
NODES_PER_STEP = 16
#: Of the rendering thread's own processor time, so that a busy machine does not fail a rendering.
MAX_CPU_SECONDS = 2.0


class LimitReached(TemplateRuntimeError):
    """A rendering passed a limit; the renderer names the prompt."""

    def __init__(self, *, limit: str, maximum: float) -> None:
        self.limit, self.maximum = limit, maximum
        super().__init__(f"the limit of {maximum:,} {limit} was reached")


class RenderBudget:
    """Counts what one rendering does, and stops it."""

    __slots__ = ("_cpu_end", "_steps_left")

    def __init__(self) -> None:
        self._steps_left = MAX_STEPS
        self._cpu_end = time.thread_time() + MAX_CPU_SECONDS

    @property
    def steps_spent(self) -> int:
        """What was taken so far."""
        return MAX_STEPS - self._steps_left

    def spend(self, steps: int = 1) -> None:
        """Takes `steps`; raises LimitReached when they or the time are used up."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise LimitReached(limit="steps", maximum=MAX_STEPS)
        if time.thread_time() > self._cpu_end:
            raise LimitReached(limit="seconds of processor time", maximum=MAX_CPU_SECONDS)

    def spend_on_characters(self, count: int) -> None:
        """Takes the steps of making a text of `count` characters; to be called before it is made where that is known.

        Raises LimitReached for a text that is too long, or one too many.
        """
        check_text_length(count)
        self.spend(1 + count // CHARACTERS_PER_STEP)


def check_text_length(count: int) -> None:
    """Raises LimitReached for a text of more characters than may be made on the way."""
    if count > MAX_TEXT_CHARACTERS:
        raise LimitReached(limit="characters in one text", maximum=MAX_TEXT_CHARACTERS)
