"""`python -m tests.mcp_server [--log FILE]`: the server over its standard streams."""

import argparse
from pathlib import Path

from tests.mcp_server.tools import build_server

parser = argparse.ArgumentParser()
parser.add_argument("--log", type=Path)
build_server(parser.parse_args().log).run("stdio")
