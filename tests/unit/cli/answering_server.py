"""A real HTTP server on this machine that gives fixed answers, and remembers what it was asked."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: str
    authorization: str | None
    body: bytes


@dataclass(slots=True)
class AnsweringServer:
    """Answers each path with what it was told to, and everything else with a problem document of status 404."""

    asked: list[Asked] = field(default_factory=list)
    _answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        if self._server is None:
            raise RuntimeError("the server has not been started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str, *documents: Any, status: int = 200) -> None:
        """Gives these JSON documents in turn to requests of a path, the last one again and again."""
        self._answers[path] = [(status, document) for document in documents]

    def refuse(self, path: str, status: int, *, code: str, detail: str) -> None:
        """Answers a path with a problem document."""
        self.answer(path, problem(status, code=code, detail=detail), status=status)

    def next_answer(self, path: str) -> tuple[int, Any]:
        """What the path answers now."""
        answers = self._answers.get(path)
        if not answers:
            return 404, problem(404, code="http.404", detail=f"there is no {path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> Self:
        answering = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                target = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answering.asked.append(
                    Asked(
                        method=self.command,
                        path=target.path,
                        query=target.query,
                        authorization=self.headers.get("Authorization"),
                        body=body,
                    )
                )
                status, document = answering.next_answer(target.path)
                content = json.dumps(document).encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815  # http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Asked often whether it is to stop, so that no test waits for it.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def problem(status: int, *, code: str, detail: str) -> dict[str, Any]:
    """A problem document (RFC 9457) as the API writes it."""
    return {"type": "about:blank", "title": "No", "status": status, "detail": detail, "code": code, "errors": []}
