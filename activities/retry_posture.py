"""The one table that says which errors are worth another attempt; vendor clients themselves never retry.

Transport (rate limits, outages, timeouts) is Temporal's to repeat, after the vendor's own waiting time where it
gave one. Everything that would fail the same way again fails at once.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum

from temporalio.exceptions import ApplicationError

from activities import errors as step
from activities.mcp import errors as mcp
from activities.sandbox import errors as sandbox
from agentflow import errors as kernel
from agentflow.storable_text import storable_text
from cas import errors as cas
from observability import errors as observability
from promptops import errors as promptops
from runs import errors as runs
from scl import errors as scl


class Posture(Enum):
    """Whether another attempt can help."""

    RETRY = "retry"
    FAIL = "fail"


POSTURES: Mapping[type[kernel.AgentflowError], Posture] = {
    kernel.ConfigurationError: Posture.FAIL,
    kernel.BlobNotFound: Posture.FAIL,
    kernel.BlobCorrupt: Posture.FAIL,
    kernel.BlobStoreUnavailable: Posture.RETRY,
    # A worker that has the key may take the next attempt.
    kernel.PayloadKeyUnknown: Posture.RETRY,
    kernel.PayloadCorrupt: Posture.FAIL,
    step.ToolFailed: Posture.RETRY,
    # By an effect class that allows it; otherwise the journal has made EffectInDoubt of it.
    step.EffectUncertain: Posture.RETRY,
    step.TimeRanOut: Posture.FAIL,
    step.WorkersLost: Posture.FAIL,
    # Another worker may have it.
    step.ToolNotInstalled: Posture.RETRY,
    step.ToolPluginInvalid: Posture.FAIL,
    step.RequestRefused: Posture.FAIL,
    step.ServerBusy: Posture.RETRY,
    step.LocationDenied: Posture.FAIL,
    step.DocumentNotFound: Posture.FAIL,
    step.DocumentTooLarge: Posture.FAIL,
    step.DocumentUnreadable: Posture.FAIL,
    step.FunctionFailed: Posture.FAIL,
    # The same question would be answered the same way, and paid for again; `retry.when` may want that.
    step.AnswerCut: Posture.FAIL,
    step.AnswerRefused: Posture.FAIL,
    step.AnswerEmpty: Posture.FAIL,
    # A model that samples may do better next time.
    step.OutputNotJson: Posture.RETRY,
    step.ItemMissing: Posture.FAIL,
    step.ApprovalRejected: Posture.FAIL,
    step.GateExpired: Posture.FAIL,
    step.InstantInvalid: Posture.FAIL,
    step.EventKeyInvalid: Posture.FAIL,
    step.SourceNotAList: Posture.FAIL,
    step.MapTooLarge: Posture.FAIL,
    step.ApprovalTooLarge: Posture.FAIL,
    mcp.McpServerUnknown: Posture.FAIL,
    mcp.McpServerUnavailable: Posture.RETRY,
    mcp.McpCallRefused: Posture.FAIL,
    mcp.McpToolFailed: Posture.FAIL,
    mcp.McpAnswerUnreadable: Posture.FAIL,
    sandbox.SourceInvalid: Posture.FAIL,
    sandbox.ModuleInvalid: Posture.FAIL,
    sandbox.MainMissing: Posture.FAIL,
    sandbox.GuestRaised: Posture.FAIL,
    sandbox.GuestCrashed: Posture.FAIL,
    sandbox.AccessDenied: Posture.FAIL,
    sandbox.OutOfFuel: Posture.FAIL,
    sandbox.OutOfTime: Posture.FAIL,
    sandbox.OutOfMemory: Posture.FAIL,
    sandbox.StackExhausted: Posture.FAIL,
    sandbox.OutputTooLarge: Posture.FAIL,
    sandbox.OutputTooIntricate: Posture.FAIL,
    sandbox.OutputInvalid: Posture.FAIL,
    runs.SpecNotFound: Posture.FAIL,
    runs.SpecVersionTaken: Posture.FAIL,
    runs.RunNotFound: Posture.FAIL,
    runs.RunMismatch: Posture.FAIL,
    runs.RunQueueFull: Posture.FAIL,
    runs.IdempotencyKeyReused: Posture.FAIL,
    runs.RunAlreadyFinished: Posture.FAIL,
    runs.RunNotReached: Posture.RETRY,
    runs.NodeOutputNotFound: Posture.FAIL,
    runs.StepNotFound: Posture.FAIL,
    runs.RunNotFinished: Posture.FAIL,
    runs.RerunInvalid: Posture.FAIL,
    runs.RerunEmpty: Posture.FAIL,
    runs.GateNotFound: Posture.FAIL,
    runs.GateClosed: Posture.FAIL,
    runs.EventsFull: Posture.FAIL,
    runs.GateNotReady: Posture.RETRY,
    runs.DecisionStale: Posture.FAIL,
    runs.NotApprover: Posture.FAIL,
    runs.DecisionUnfit: Posture.FAIL,
    # Only a person can go on from here.
    runs.EffectInDoubt: Posture.FAIL,
    runs.RecordConflict: Posture.FAIL,
    runs.CursorInvalid: Posture.FAIL,
    runs.ExpressionInvalid: Posture.FAIL,
    runs.ExpressionFailed: Posture.FAIL,
    runs.ExpressionTooCostly: Posture.FAIL,
    runs.PlanIncompatible: Posture.FAIL,
    runs.DeterminismViolation: Posture.FAIL,
    runs.StepClaimed: Posture.RETRY,
    # The other attempt's result is, or will be, in the journal.
    runs.StaleFence: Posture.RETRY,
    promptops.InvalidPromptName: Posture.FAIL,
    promptops.InvalidPromptReference: Posture.FAIL,
    promptops.PromptNotFound: Posture.FAIL,
    promptops.PromptNotDeployed: Posture.FAIL,
    promptops.PromptFileInvalid: Posture.FAIL,
    promptops.TemplateInvalid: Posture.FAIL,
    promptops.InputSchemaInvalid: Posture.FAIL,
    promptops.PromptInputInvalid: Posture.FAIL,
    promptops.RenderFailed: Posture.FAIL,
    promptops.RenderLimitExceeded: Posture.FAIL,
    promptops.DeploymentInvalid: Posture.FAIL,
    promptops.DeploymentConflict: Posture.FAIL,
    scl.SchemaViolation: Posture.FAIL,
    scl.InvalidSchema: Posture.FAIL,
    scl.PolicyDenied: Posture.FAIL,
    scl.InjectionBlocked: Posture.FAIL,
    scl.VaultKeyMismatch: Posture.FAIL,
    # A budget may be raised or begin a new window, but not within the patience of a retry.
    cas.BudgetExceeded: Posture.FAIL,
    cas.BudgetOnHold: Posture.RETRY,
    cas.BudgetNotFound: Posture.FAIL,
    cas.BudgetInvalid: Posture.FAIL,
    cas.ModelUnpriced: Posture.FAIL,
    cas.NoModelAvailable: Posture.FAIL,
    cas.RoutesExhausted: Posture.RETRY,
    cas.ProviderNotConfigured: Posture.FAIL,
    cas.RateLimited: Posture.RETRY,
    cas.RateLimitReached: Posture.RETRY,
    cas.ProviderUnavailable: Posture.RETRY,
    cas.ProviderTimeout: Posture.RETRY,
    cas.ProviderRejected: Posture.FAIL,
    cas.ProviderAuthenticationFailed: Posture.FAIL,
    cas.ContentRefused: Posture.FAIL,
    cas.ContextTooLong: Posture.FAIL,
    cas.MalformedProviderResponse: Posture.RETRY,
    observability.TraceNotFound: Posture.FAIL,
}

#: No vendor's waiting time is followed beyond this.
_LONGEST_WAIT_SECONDS = 300.0
_UNEXPECTED_WAIT_SECONDS = 5.0


def posture_of(error: kernel.AgentflowError) -> Posture:
    """The posture of an error; one that the table forgot fails, so that nothing is repeated by accident."""
    return POSTURES.get(type(error), Posture.FAIL)


def to_application_error(error: kernel.AgentflowError) -> ApplicationError:
    """The error as Temporal records it: our code as the type, and when to try again."""
    wait = getattr(error, "retry_after_seconds", None)
    # A turn that is booked is not there before its time: coming earlier would cost an attempt for nothing.
    longest = math.inf if isinstance(error, cas.RateLimitReached) else _LONGEST_WAIT_SECONDS
    delay = timedelta(seconds=min(float(wait), longest)) if wait is not None else None
    failing = posture_of(error) is Posture.FAIL
    message = error.message_without_content if isinstance(error, step.StepError) else str(error)
    return ApplicationError(
        storable_text(message), type=error.code, non_retryable=failing, next_retry_delay=None if failing else delay
    )


def unexpected_error(error: Exception) -> ApplicationError:
    """What Temporal records of an error that is none of ours: its kind only, because its message may quote content.

    It is worth another attempt, after a pause: most of these are a database or a network that is away for a while.
    """
    return ApplicationError(
        f"unexpected {type(error).__name__}; the worker's log has the details",
        type="step.unexpected",
        next_retry_delay=timedelta(seconds=_UNEXPECTED_WAIT_SECONDS),
    )
