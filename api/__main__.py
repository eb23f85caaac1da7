"""The API process: `python -m api`. SIGTERM or SIGINT lets requests finish, then ends it with exit code 0."""

import resource
import signal
import sys

from agentflow.errors import AgentflowError
from agentflow.loaded_memory import keep_what_is_loaded
from agentflow.process_exit import exit_process
from agentflow.settings import load_settings
from api.app import create_app
from api.http_server import http_server
from observability.telemetry.logging import configure_logging

#: Besides connections of clients: the database's, Temporal's, files.
_OTHER_FILES = 256


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
    _allow_files(settings.api_max_connections)
    server = http_server(app, settings)
    keep_what_is_loaded()
    server.run()
    exit_process(0 if server.started else 1)


def _allow_files(connections: int) -> None:
    """Lets the process have so many connections, where it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


if __name__ == "__main__":
    main()
