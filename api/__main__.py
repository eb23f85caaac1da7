"""The API process: `python -m api`. SIGTERM or SIGINT lets requests finish, then ends it with exit code 0."""

import signal
import sys

import uvicorn

from agentflow.errors import AgentflowError
from agentflow.process_exit import exit_process
from agentflow.settings import load_settings
from api.app import create_app
from observability.telemetry.logging import configure_logging

_GRACE_SECONDS = 8


def main() -> None:
    """Serves until told to stop."""
    try:
        settings = load_settings()
        configure_logging(settings)
        app = create_app(settings)
    except AgentflowError as error:
        print(f"the API cannot run: {error}", file=sys.stderr, flush=True)  # noqa: T201  # before logs are configured
        exit_process(1)
    # uvicorn raises the signal that stopped it once more when it is done; then these take it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    server.run()
    exit_process(0 if server.started else 1)


if __name__ == "__main__":
    main()
