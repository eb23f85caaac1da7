"""The one table from errors to HTTP: every refusal is a problem document (RFC 9457) with a stable code."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from activities import errors as step
from activities.mcp import errors as mcp
from activities.sandbox import errors as sandbox
from agentflow import errors as kernel
from agentflow.database import is_database_away
from api import errors as api
from cas import errors as cas
from observability import errors as observability
from observability.telemetry.logging import get_logger
from promptops import errors as promptops
from runs import errors as runs
from scl import errors as scl
from workflows import errors as workflows

_log = get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"
RETRY_SOON = {"Retry-After": "2"}
#: Where an error with status 429 does not know better.
_RETRY_LATER_SECONDS = 5.0
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

STATUSES: Mapping[type[kernel.AgentflowError], int] = {
    kernel.ConfigurationError: 503,
    kernel.BlobNotFound: 404,
    kernel.BlobCorrupt: 500,
    kernel.BlobStoreUnavailable: 503,
    kernel.PayloadKeyUnknown: 400,
    kernel.PayloadCorrupt: 400,
    api.NotAuthenticated: 401,
    api.OperatorKeyRequired: 401,
    api.PayloadsUnreadable: 400,
    api.RequestTooLarge: 413,
    api.ParameterRepeated: 422,
    api.KeyRepeated: 422,
    api.TooManyValues: 413,
    workflows.SpecUnreadable: 400,
    workflows.SpecInvalid: 422,
    workflows.InputsInvalid: 422,
    workflows.WorkTooCostly: 422,
    workflows.ServerOccupied: 429,
    runs.SpecNotFound: 404,
    runs.SpecVersionTaken: 409,
    runs.RunNotFound: 404,
    runs.RunMismatch: 409,
    runs.RunQueueFull: 429,
    runs.IdempotencyKeyReused: 409,
    runs.RunAlreadyFinished: 409,
    runs.RunNotReached: 503,
    runs.NodeOutputNotFound: 404,
    runs.StepNotFound: 404,
    runs.RunNotFinished: 409,
    runs.RerunInvalid: 422,
    runs.RerunEmpty: 409,
    runs.GateNotFound: 404,
    runs.GateClosed: 409,
    runs.EventsFull: 429,
    runs.GateNotReady: 503,
    runs.DecisionStale: 409,
    runs.NotApprover: 403,
    runs.DecisionUnfit: 409,
    runs.EffectInDoubt: 409,
    runs.RecordConflict: 409,
    runs.CursorInvalid: 400,
    runs.ExpressionInvalid: 422,
    runs.ExpressionFailed: 422,
    runs.ExpressionTooCostly: 422,
    runs.PlanIncompatible: 409,
    runs.DeterminismViolation: 409,
    runs.StepClaimed: 409,
    runs.StaleFence: 409,
    promptops.InvalidPromptName: 422,
    promptops.InvalidPromptReference: 400,
    promptops.PromptNotFound: 404,
    promptops.PromptNotDeployed: 404,
    promptops.PromptFileInvalid: 422,
    promptops.TemplateInvalid: 422,
    promptops.InputSchemaInvalid: 422,
    promptops.PromptInputInvalid: 422,
    promptops.RenderFailed: 422,
    promptops.RenderLimitExceeded: 422,
    promptops.DeploymentInvalid: 422,
    promptops.DeploymentConflict: 409,
    scl.SchemaViolation: 422,
    scl.InvalidSchema: 422,
    scl.PolicyDenied: 403,
    scl.InjectionBlocked: 422,
    scl.VaultKeyMismatch: 500,
    cas.BudgetExceeded: 402,
    cas.BudgetNotFound: 404,
    cas.BudgetInvalid: 422,
    cas.ModelUnpriced: 422,
    cas.NoModelAvailable: 422,
    cas.RoutesExhausted: 502,
    cas.ProviderNotConfigured: 503,
    cas.RateLimited: 503,
    cas.BudgetOnHold: 503,
    cas.RateLimitReached: 503,
    cas.ProviderUnavailable: 502,
    cas.ProviderTimeout: 504,
    cas.ProviderRejected: 502,
    cas.ProviderAuthenticationFailed: 502,
    cas.ContentRefused: 422,
    cas.ContextTooLong: 422,
    cas.MalformedProviderResponse: 502,
    observability.TraceNotFound: 404,
    step.ToolFailed: 502,
    step.EffectUncertain: 502,
    step.TimeRanOut: 504,
    step.WorkersLost: 503,
    step.ToolNotInstalled: 503,
    step.ToolPluginInvalid: 500,
    step.RequestRefused: 502,
    step.ServerBusy: 503,
    step.LocationDenied: 403,
    step.DocumentNotFound: 404,
    step.DocumentTooLarge: 422,
    step.DocumentUnreadable: 422,
    step.FunctionFailed: 422,
    step.AnswerCut: 502,
    step.AnswerRefused: 502,
    step.AnswerEmpty: 502,
    step.OutputNotJson: 502,
    step.ItemMissing: 500,
    step.ApprovalRejected: 409,
    step.GateExpired: 408,
    step.InstantInvalid: 422,
    step.EventKeyInvalid: 422,
    step.SourceNotAList: 422,
    step.MapTooLarge: 422,
    step.ApprovalTooLarge: 422,
    mcp.McpServerUnknown: 422,
    mcp.McpServerUnavailable: 503,
    mcp.McpCallRefused: 502,
    mcp.McpToolFailed: 502,
    mcp.McpAnswerUnreadable: 502,
    sandbox.SourceInvalid: 422,
    sandbox.ModuleInvalid: 422,
    sandbox.MainMissing: 422,
    sandbox.GuestRaised: 422,
    sandbox.GuestCrashed: 422,
    sandbox.AccessDenied: 403,
    sandbox.OutOfFuel: 422,
    sandbox.OutOfTime: 422,
    sandbox.OutOfMemory: 422,
    sandbox.StackExhausted: 422,
    sandbox.OutputTooLarge: 422,
    sandbox.OutputTooIntricate: 422,
    sandbox.OutputInvalid: 422,
}

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    402: "Budget exceeded",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Request too large",
    422: "Invalid",
    429: "Too many requests",
    500: "Internal error",
    502: "Bad gateway",
    503: "Unavailable",
    504: "Gateway timeout",
}


class ProblemDetail(BaseModel):
    """One of several things that are wrong."""

    code: str
    message: str
    path: str = Field(description="JSON path of the part that is wrong, such as $.nodes[2].id.")
    line: int | None = Field(default=None, description="Line in the document, from 1; null when it came without text.")
    column: int | None = None


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; what programs compare.")
    errors: list[ProblemDetail] = Field(default_factory=list, description="Every part that is wrong, where known.")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route, for OpenAPI; every route that needs a key can answer 401, 422, 500 and 503."""
    return bare_problem_responses(401, 422, 500, 503, *statuses)


def bare_problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same with these statuses only, for routes that need no key."""
    return {
        status: {
            "description": _TITLES[status],
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(set(statuses))
    }


def title_of(status: int) -> str:
    """What a status is called in problem documents."""
    return _TITLES.get(status, "Error")


def problem_response(
    *, status: int, code: str, detail: str, errors: list[ProblemDetail] | None = None, headers: Any = None
) -> JSONResponse:
    """A problem document as a response."""
    problem = Problem(title=title_of(status), status=status, detail=detail, code=code, errors=errors or [])
    return JSONResponse(problem.model_dump(mode="json"), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem document."""
    app.add_exception_handler(kernel.AgentflowError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(sqlalchemy.exc.DataError, _on_unstorable_text)
    app.add_exception_handler(UnicodeEncodeError, _on_unstorable_text)
    app.add_exception_handler(sqlalchemy.exc.SQLAlchemyError, _on_database_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_defect)


def error_response(error: kernel.AgentflowError) -> JSONResponse:
    """The response to one of our own errors."""
    status = STATUSES.get(type(error), 500)
    # What a browser can ask its user for is offered where only operators come.
    challenge = 'Basic realm="codec", Bearer' if isinstance(error, api.OperatorKeyRequired) else "Bearer"
    headers = {"WWW-Authenticate": challenge} if status == 401 else None
    if status == 429:
        headers = {"Retry-After": f"{getattr(error, 'retry_after_seconds', _RETRY_LATER_SECONDS):.0f}"}
    elif status == 503:
        headers = RETRY_SOON
    return problem_response(status=status, code=error.code, detail=str(error), errors=_details(error), headers=headers)


def _details(error: kernel.AgentflowError) -> list[ProblemDetail]:
    if isinstance(error, workflows.SpecInvalid):
        return [
            ProblemDetail(
                code=problem.code, message=problem.message, path=problem.path, line=problem.line, column=problem.column
            )
            for problem in error.problems
        ]
    if isinstance(error, workflows.SpecUnreadable):
        return [ProblemDetail(code=error.code, message=error.reason, path="$", line=error.line, column=error.column)]
    if isinstance(error, workflows.InputsInvalid):
        return [_split_problem(error.code, problem) for problem in error.problems]
    if isinstance(error, api.KeyRepeated):
        return [ProblemDetail(code=error.code, message="this key stands here more than once", path=error.path)]
    if isinstance(error, promptops.TemplateInvalid):
        return [ProblemDetail(code=error.code, message=error.reason, path="$.template", line=error.line)]
    return []


def _split_problem(code: str, problem: str) -> ProblemDetail:
    path, separator, message = problem.partition(": ")
    return ProblemDetail(code=code, message=message if separator else problem, path=path if separator else "$")


async def _on_own_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, kernel.AgentflowError):
        raise TypeError("registered for AgentflowError only")
    response = error_response(error)
    if response.status_code >= 500:
        _log.error("request.failed", code=error.code)
    return response


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError only")
    found_errors = error.errors()
    if found_errors and found_errors[0]["type"] == "json_invalid":
        return _unreadable_body(f"{found_errors[0]['ctx']['error']} at character {found_errors[0]['loc'][-1]}")
    details = [
        ProblemDetail(code=str(found["type"]), message=str(found["msg"]), path=_json_path(found["loc"]))
        for found in found_errors
    ]
    summary = "; ".join(f"{detail.path}: {detail.message}" for detail in details)
    return problem_response(
        status=422, code="request.invalid", detail=f"the request is not valid: {summary}", errors=details
    )


def _json_path(location: Any) -> str:
    """`("body", "nodes", 0)` as `$.nodes[0]`; other places keep their name, such as `query.limit`."""
    place, *steps = location
    path = "$" if place == "body" else str(place)
    return path + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _unreadable_body(reason: str) -> JSONResponse:
    detail = f"the request's body cannot be read as JSON: {reason}"
    return problem_response(status=400, code="request.unreadable", detail=detail)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException only")
    if isinstance(error.__cause__, kernel.AgentflowError):
        # Raised while the body was read, which FastAPI tells in its own way.
        return await _on_own_error(request, error.__cause__)
    if error.status_code == 400:
        return _unreadable_body("it is not UTF-8, nests too deep, or has a number of thousands of digits")
    code = {404: "request.no_such_path", 405: "request.method_not_allowed"}.get(error.status_code, "request.refused")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return problem_response(status=error.status_code, code=code, detail=str(error.detail), headers=headers)


def _allowed_methods(request: Request) -> list[str]:
    """Every method that the path takes; the router names those of one of its routes only (RFC 9110, 10.2.1)."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


async def _on_unstorable_text(_request: Request, _error: Exception) -> JSONResponse:
    return problem_response(
        status=422,
        code="request.unstorable_text",
        detail="the request has a text that cannot be stored: leave out NUL characters and lone surrogates, "
        "and keep numbers within 64 bits",
    )


async def _on_database_error(_request: Request, error: Exception) -> JSONResponse:
    # A deadlock, too, is over when the request comes again.
    is_passing = isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
    if not is_passing and not is_database_away(error):
        return await _on_defect(_request, error)
    _log.error("database.away", reason=type(error).__name__)
    return problem_response(
        status=503,
        code="service.unavailable",
        detail="the database does not answer; try again in a moment",
        headers=RETRY_SOON,
    )


async def _on_disconnect(_request: Request, _error: Exception) -> JSONResponse:
    """The client has gone while its body was read: no defect, and nobody hears this."""
    return _unreadable_body("it did not come to its end")


async def _on_defect(_request: Request, error: Exception) -> JSONResponse:
    _log.error("request.defect", exc_info=error)
    return problem_response(
        status=500, code="server.defect", detail="the server failed on this request; its log has the details"
    )
