"""The API in a process of its own, which tells how long its loop was kept; run by test_loop."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from agentflow.loaded_memory import keep_what_is_loaded
from agentflow.settings import load_settings
from api.app import create_app
from api.http_server import http_server
from tests.loop_delay import LoopDelay

DELAY_PATH = "/loop-delay"


def main() -> None:
    measured: list[LoopDelay] = []

    async def worst_delay(_request: Request) -> JSONResponse:
        """The worst delay since it was asked for the last time."""
        worst = 0.0
        if measured:
            delay = measured.pop()
            await delay.__aexit__(None, None, None)
            worst = delay.worst_seconds
        measured.append(await LoopDelay().__aenter__())
        return JSONResponse({"worst_seconds": worst})

    settings = load_settings()
    app = create_app(settings)
    app.add_route(DELAY_PATH, worst_delay)
    server = http_server(app, settings)
    keep_what_is_loaded()
    server.run()


if __name__ == "__main__":
    main()
