"""The messages of one rendering as they are written: roles and provenance are facts of calls, never of text."""

from promptops.models import Provenance, RenderedMessage, Role, Segment
from promptops.rendering.render_limits import MAX_MESSAGES, MAX_OUTPUT_BYTES, LimitReached


class Transcript:
    """Collects messages. The compiled template calls it; there is no marker that a text could imitate."""

    def __init__(self) -> None:
        self._messages: list[RenderedMessage] = []
        self._role: Role = "user"
        self._segments: list[Segment] = []
        self._literals: list[str] = []
        self._bytes_left = MAX_OUTPUT_BYTES

    @property
    def messages(self) -> tuple[RenderedMessage, ...]:
        """The messages that are closed."""
        return tuple(self._messages)

    def open(self, role: Role) -> None:
        """Begins a message; messages do not nest, which the template's rules hold."""
        if len(self._messages) >= MAX_MESSAGES:
            raise LimitReached(limit="messages", maximum=MAX_MESSAGES)
        self._role = role

    def write_literal(self, text: str) -> None:
        """Adds text that stands in the template."""
        self._take(text)
        self._literals.append(text)

    def write_input(self, text: str) -> None:
        """Adds text that an expression gave."""
        if not text:
            return
        self._take(text)
        self._end_literal()
        self._segments.append(_segment(text, "input"))

    def close(self) -> None:
        """Ends the message."""
        self._end_literal()
        self._messages.append(RenderedMessage(role=self._role, segments=tuple(self._segments)))
        self._segments = []

    def _end_literal(self) -> None:
        if self._literals:
            self._segments.append(_segment("".join(self._literals), "template"))
            self._literals = []

    def _take(self, text: str) -> None:
        self._bytes_left -= len(text) if text.isascii() else len(text.encode())
        if self._bytes_left < 0:
            raise LimitReached(limit="bytes of output", maximum=MAX_OUTPUT_BYTES)


def _segment(text: str, provenance: Provenance) -> Segment:
    return Segment(text=text, provenance=provenance)
