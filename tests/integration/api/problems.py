"""What every refusal of the API looks like."""

from typing import Any

import httpx


def problem_of(answer: httpx.Response, *, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, which must be a whole one (RFC 9457) with this status and code."""
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "errors"} == set(problem)
    assert ("about:blank", status, code) == (problem["type"], problem["status"], problem["code"]), problem
    assert problem["title"]
    assert problem["detail"]
    return problem
