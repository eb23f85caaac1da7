"""A text Gantt chart: where each span lies in the time of its trace, in columns of a given width."""

from dataclasses import dataclass
from datetime import timedelta

from observability.analysis.models import Trace, TraceNode

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """A span's bar."""

    node: TraceNode
    #: Columns before the bar.
    offset: int
    #: Columns of the bar: 1 at least, and never past the width.
    length: int

    def draw(self, *, fill: str) -> str:
        """The bar in `fill`, after its blanks; without trailing ones."""
        return " " * self.offset + fill * self.length


def timeline(trace: Trace, *, columns: int) -> tuple[TimelineRow, ...]:
    """The bars of all spans, in the order of `Trace.walk`, scaled so that the trace fills `columns`.

    Raises ValueError for less than one column.
    """
    if columns < 1:
        raise ValueError(f"a timeline needs 1 column at least, not {columns}")
    # Whole microseconds: a bar must not jump a column by a rounding error. A trace of no length counts as 1.
    whole = max((trace.ended_at - trace.started_at) // _MICROSECOND, 1)
    return tuple(_row(node, trace, whole, columns) for node in trace.walk())


def _row(node: TraceNode, trace: Trace, whole: int, columns: int) -> TimelineRow:
    start = (node.span.started_at - trace.started_at) // _MICROSECOND
    end = max((node.span.ended_at - trace.started_at) // _MICROSECOND, start)
    offset = min(start * columns // whole, columns - 1)
    past_end = -(-end * columns // whole)
    return TimelineRow(node=node, offset=offset, length=max(past_end - offset, 1))
