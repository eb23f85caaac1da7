"""What can go wrong with observing.

ObservabilityError
└── TraceNotFound           no span of this run is stored for this organisation
"""

from agentflow.errors import AgentflowError


class ObservabilityError(AgentflowError):
    """Telemetry is not there, or not as the caller believes."""

    code = "observability.error"


class TraceNotFound(ObservabilityError):
    """The organisation has no span of this run."""

    code = "trace.not_found"

    def __init__(self, *, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"there is no trace of run {run_id!r}: either the id is wrong, or none of its steps has ended yet"
        )
