"""What README shows under "Using it", word for word: the commands, the request and the program."""

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from agentflow.settings import Settings
from cli.example_files import SAMPLE_DOCUMENT, example_folder
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import Tenant
from tests.unit.docs.pages import ROOT, blocks

SHELL, REQUEST, PROGRAM = (
    next(block.text for block in blocks(ROOT / "README.md") if mark in block.text)
    for mark in ("agentctl prompt create", "curl -X POST", "AgentflowClient(")
)
#: What README starts and steps into first; the tests have a server already.
BEFORE = ("make up", "source ")
SECONDS = 60.0


async def run(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command's end, while the workers of this process go on."""

    def blocking() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return await asyncio.to_thread(blocking)


@pytest.fixture
def environment(server: ApiServer, tenant: Tenant, settings: Settings) -> dict[str, str]:
    """That of a shell in which `agentctl` is found, and finds the server; the example's document is in its bucket."""
    bucket = Path(unquote(urlsplit(settings.buckets["documents"]).path))
    shutil.copy(example_folder() / SAMPLE_DOCUMENT, bucket)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # Names of spans are cut where lines are as narrow as the runner of the tests may ask.
    return {
        **os.environ,
        "COLUMNS": "120",
        "PATH": path,
        "AGENTFLOW_API_URL": server.url,
        "AGENTFLOW_API_KEY": tenant.api_key,
    }


async def test_the_readmes_commands_request_and_program_do_what_it_says(
    environment: dict[str, str], server: ApiServer, tenant: Tenant
) -> None:
    told: dict[str, str] = {}
    run_id = ""
    for line in SHELL.splitlines():
        if not line.strip() or line.startswith(BEFORE):
            continue
        if "RUN_ID" in line and not run_id:
            listed = await run(["agentctl", "workflow", "list", "--runs", "-o", "json"], environment)
            run_id = json.loads(listed.stdout)["items"][0]["run_id"]
        ended = await run(["sh", "-c", line.replace("RUN_ID", run_id)], environment)
        # The run that was waited for has ended, and cannot be cancelled any more.
        expected = 1 if "workflow cancel" in line else 0
        assert expected == ended.returncode, f"{line}: {ended.stdout}{ended.stderr}"
        told[line.split("#")[0].split("--")[0].strip()] = ended.stdout + ended.stderr

    assert len(told) >= 9
    assert "document_analyzer" in told["agentctl prompt create examples/document_analysis/prompts/*.yaml"]
    assert "succeeded" in told["agentctl workflow status RUN_ID"]
    assert "invoke_workflow document_analysis" in told["agentctl trace get RUN_ID"]
    assert "ended already" in told["agentctl workflow cancel RUN_ID"]

    words = shlex.split(REQUEST)
    headers = {"Authorization": f"Bearer {tenant.api_key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
        url = words[3].replace("http://127.0.0.1:8080", server.url)
        answer = await client.post(url, content=words[words.index("-d") + 1], headers=headers)
    assert 201 == answer.status_code, answer.text

    program = PROGRAM.replace("http://127.0.0.1:8080", server.url).replace("af_…", tenant.api_key)
    printed = await run([sys.executable, "-c", program], environment)
    assert 0 == printed.returncode, printed.stderr
    assert printed.stdout.startswith("# Analysis of sample.pdf")
