"""No process of ours ends by a signal when it is asked to stop: worker and API end with exit code 0."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded.ports import free_port
from cli.embedded.stack import EmbeddedStack
from cli.embedded.waiting import answers_http, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_ends_with_exit_code_zero(
    stack: EmbeddedStack, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    environment = {**os.environ, **stack.environment(), "AGENTFLOW_READY_FILE": str(ready)}
    worker = subprocess.Popen([sys.executable, "-m", "workflows.worker"], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(ready.exists, timeout_seconds=60)
        worker.send_signal(number)

        assert 0 == worker.wait(30)
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_api_that_is_told_to_stop_ends_with_exit_code_zero(stack: EmbeddedStack, number: signal.Signals) -> None:
    port = free_port()
    environment = {**os.environ, **stack.environment(), "API_PORT": str(port)}
    api = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: answers_http(port, "/ready"), timeout_seconds=60)
        api.send_signal(number)

        assert 0 == api.wait(30)
    finally:
        api.kill()
        api.wait()


@pytest.mark.parametrize("module", ["workflows.worker", "api"])
def test_a_process_with_wrong_settings_says_so_and_ends_with_exit_code_one(module: str) -> None:
    environment = {**os.environ, "VAULT_KEY": "not a key", "DB_POOL_SIZE": "0"}

    ended = subprocess.run(
        [sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == ended.returncode
    assert "VAULT_KEY" in ended.stderr
    assert "DB_POOL_SIZE" in ended.stderr
    assert "not a key" not in ended.stderr
