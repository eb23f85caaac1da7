"""Reading traces for the API and the command line."""

from sqlalchemy.ext.asyncio import AsyncSession

from observability.analysis.models import Trace
from observability.analysis.trace_query import build_trace
from observability.errors import TraceNotFound
from observability.repository import SpanRepository

#: Past this a trace is cut, and says so.
MAX_TRACE_SPANS = 50_000


class TraceService:
    """Assembles the trace of a run from its stored spans."""

    def __init__(self, session: AsyncSession) -> None:
        self._spans = SpanRepository(session)

    async def get(self, *, org_id: str, run_id: str) -> Trace:
        """The trace of a run, finished or under way; raises TraceNotFound when no span of it is stored."""
        spans = await self._spans.of_run(org_id=org_id, run_id=run_id, limit=MAX_TRACE_SPANS + 1)
        if not spans:
            raise TraceNotFound(run_id=run_id)
        return build_trace(spans[:MAX_TRACE_SPANS], is_cut=len(spans) > MAX_TRACE_SPANS)
