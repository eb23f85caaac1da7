"""How the client speaks to a server: one connection pool, requests that are repeated where that is harmless, errors."""

import time
from types import TracebackType
from typing import Any, Self

import httpx

from agentflow.bounded_body import ACCEPT_ENCODING, bounded
from agentflow.client_key import checked_api_key
from agentflow.client_types import ApiProblemDetail
from agentflow.errors import AgentflowError

_ATTEMPTS = 4
#: An output may be as large as a document; a server that sends more is none of ours.
_LARGEST_ANSWER_BYTES = 512 * 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.5


class ApiRequestFailed(AgentflowError):
    """The server refused a request; `status`, `problem_code` and `problems` say why."""

    code = "client.request_failed"

    def __init__(
        self,
        *,
        status: int,
        problem_code: str,
        detail: str,
        problems: list[ApiProblemDetail],
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status, self.problem_code, self.detail, self.problems = status, problem_code, detail, tuple(problems)
        #: When the server says that it is worth asking again; None when it does not.
        self.retry_after_seconds = retry_after_seconds
        super().__init__(detail)


class ApiUnreachable(AgentflowError):
    """No server answered at the address."""

    code = "client.unreachable"

    def __init__(self, *, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"no AgentFlow API answers at {url} ({reason}); start one with `agentctl dev`, or set its URL")


class ApiTransport:
    """Requests to one server. Every one raises ApiRequestFailed or ApiUnreachable."""

    def __init__(self, base_url: str, *, api_key: str | None, timeout_seconds: float = 30.0) -> None:
        self._base_url = base_url.rstrip("/")
        headers = {**ACCEPT_ENCODING, "User-Agent": "agentflow-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {checked_api_key(api_key)}"
        try:
            self._http = httpx.Client(
                base_url=self._base_url,
                headers=headers,
                timeout=timeout_seconds,
                event_hooks={"response": [bounded(httpx, limit_bytes=_LARGEST_ANSWER_BYTES)]},
            )
        except httpx.InvalidURL as error:
            raise ApiUnreachable(url=self._base_url, reason=str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _get(self, path: str, **parameters: Any) -> Any:
        wanted = {name: value for name, value in parameters.items() if value is not None}
        return self._json(self._send("GET", path, params=wanted, repeatable=True))

    def _post_document(self, path: str, document: str) -> Any:
        headers = {"Content-Type": "application/yaml"}
        content = document.encode("utf-8", errors="surrogateescape")
        return self._json(self._send("POST", path, content=content, headers=headers, repeatable=True))

    def _send(
        self, method: str, path: str, *, repeatable: bool = False, allow: frozenset[int] = frozenset(), **options: Any
    ) -> httpx.Response:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if not repeatable or attempt == _ATTEMPTS:
                    raise ApiUnreachable(url=self._base_url, reason=str(error) or type(error).__name__) from error
                time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                continue
            except (httpx.InvalidURL, httpx.DecodingError) as error:
                raise ApiUnreachable(url=self._base_url, reason=str(error)) from error
            if response.is_success or response.status_code in allow:
                return response
            raise _failure(response)
        raise AssertionError("the last attempt returns or raises")

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise ApiUnreachable(url=self._base_url, reason="what answers there does not speak JSON") from error


def _failure(response: httpx.Response) -> ApiRequestFailed:
    try:
        problem = response.json()
        detail, problem_code, problems = str(problem["detail"]), str(problem["code"]), list(problem["errors"])
    except (ValueError, KeyError, TypeError):
        detail, problem_code, problems = f"the server answered {response.status_code}", "client.no_problem", []
    wait = response.headers.get("Retry-After", "")
    return ApiRequestFailed(
        status=response.status_code,
        problem_code=problem_code,
        detail=detail,
        problems=problems,
        # The header may be a date as well (RFC 9110, 10.2.3); this server's never is.
        retry_after_seconds=float(wait) if wait.isascii() and wait.isdigit() else None,
    )
