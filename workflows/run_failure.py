"""The failure that a run's workflow ends with."""

from temporalio.exceptions import ApplicationError


def headline_of(code: str, failed_node: str | None) -> str:
    """Which node failed, and by which code; quotes no content."""
    return f"node {failed_node!r} failed: {code}" if failed_node else f"the run failed: {code}"


class RunFailed(ApplicationError):
    """A run has failed: which node and by which code, which may be read by everybody, and then the message."""

    def __init__(self, *, code: str, message: str, failed_node: str | None) -> None:
        #: Not sealed.
        self.headline = headline_of(code, failed_node)
        super().__init__(f"{self.headline}: {message}", type=code, non_retryable=True)
