"""The page to try the API at: Swagger UI with all of its files from here, so that it needs nothing of the internet."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from agentflow.errors import ConfigurationError
from api.guarded_route import GuardedRoute

router = APIRouter(route_class=GuardedRoute, prefix="/docs", include_in_schema=False)

#: All that the page may load or speak to is this server's. Swagger UI sets styles in its elements, and images as data.
_POLICY = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>AgentFlow API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
#: Addresses are relative, for a server behind a proxy's prefix.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


@router.get("")
async def docs_page() -> Response:
    """The page."""
    return HTMLResponse(_PAGE, headers=_POLICY)


@router.get("/start.js")
async def docs_start() -> Response:
    """What opens the document in it."""
    return Response(_START, media_type="text/javascript", headers=_POLICY)


@router.get("/{name}")
async def docs_file(name: str) -> Response:
    """A file of Swagger UI's."""
    if name not in _FILES:
        raise HTTPException(status_code=404, detail="Not Found")
    return FileResponse(_folder() / name, headers={**_POLICY, "Cache-Control": "public, max-age=3600"})


def _folder() -> Path:
    spec = find_spec("fastapi_swagger")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package fastapi-swagger, which has the files of /docs, is not installed")
    return Path(spec.origin).parent / "resources"
