"""The stack's foundations for real: PostgreSQL, Temporal and the local model, started once for this file."""

import http.client
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from agentflow.settings import Settings
from cli.embedded.errors import PortTaken, StackAlreadyRunning
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack
from cli.embedded.stack_record import is_running, read_record
from cli.embedded.temporal_server import TemporalDevServer, temporal_binary
from cli.embedded.waiting import answers_http


@pytest.fixture(scope="module")
def stack() -> Iterator[EmbeddedStack]:
    with (
        tempfile.TemporaryDirectory(prefix="agentflow-stack-", ignore_cleanup_errors=True) as folder,
        EmbeddedStack(Path(folder), StackPorts.any_free(), with_services=False) as running,
    ):
        yield running


def ask_model(stack: EmbeddedStack, **request: Any) -> dict[str, Any]:
    address = urlsplit(stack.addresses["model"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    body = json.dumps({"model": "smollm2-135m-instruct", "temperature": 0, **request})
    connection.request("POST", f"{address.path}/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    document: dict[str, Any] = json.loads(response.read())
    connection.close()
    assert response.status == 200, document
    return document


def test_the_database_is_there_with_the_current_schema(stack: EmbeddedStack) -> None:
    with psycopg.connect(stack.addresses["database"]) as connection:
        tables = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    assert {"alembic_version", "organisations", "api_keys", "blobs"} <= tables


def test_temporal_serves_and_its_web_ui_answers(stack: EmbeddedStack) -> None:
    question = [str(temporal_binary()), "operator", "namespace", "describe", "-n", "default"]

    answer = subprocess.run(
        [*question, "--address", stack.addresses["temporal"]], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stderr
    assert answers_http(urlsplit(stack.addresses["temporal_ui"]).port or 0, "/")


def test_the_model_answers_a_chat_with_its_usage(stack: EmbeddedStack) -> None:
    answer = ask_model(stack, max_tokens=8, messages=[{"role": "user", "content": "Say hello."}])

    assert answer["choices"][0]["message"]["content"]
    assert answer["model"] == "smollm2-135m-instruct"
    assert 0 < answer["usage"]["completion_tokens"] <= 8


def test_the_model_keeps_to_a_json_schema(stack: EmbeddedStack) -> None:
    schema = {
        "type": "object",
        "properties": {"on_time": {"type": "integer"}, "late": {"type": "boolean"}},
        "required": ["on_time", "late"],
        "additionalProperties": False,
    }

    answer = ask_model(
        stack,
        max_tokens=40,
        messages=[{"role": "user", "content": "42 of 45 shipments were on time. Answer in JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    )

    content = json.loads(answer["choices"][0]["message"]["content"])
    assert set(content) == {"on_time", "late"}
    assert isinstance(content["on_time"], int)


def test_its_environment_makes_working_settings(stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert stack.addresses["database"] == settings.effective_database_url
    assert stack.addresses["temporal"] == settings.temporal_address
    assert stack.addresses["temporal_ui"] == settings.temporal_ui_url
    assert stack.addresses["model"] == settings.local_model_url
    assert len(settings.require_vault_key()) == 32


@pytest.mark.parametrize(
    "name", ["vault.key", "payload.key", "dev-api-key", "stack.json", "temporal.db", "logs/model.log"]
)
def test_what_it_writes_is_for_its_owner_only(stack: EmbeddedStack, name: str) -> None:
    assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600


def test_its_record_names_every_part_and_its_process(stack: EmbeddedStack) -> None:
    record = read_record(stack.data_dir)

    assert record is not None
    assert (record.state, os.getpid()) == ("ready", record.supervisor_pid)
    assert set(record.pids) == {"postgres", "temporal", "model"}
    assert stack.pids() == record.pids
    assert stack.addresses == record.addresses


def test_a_second_stack_in_its_folder_is_refused_and_harms_nothing(stack: EmbeddedStack) -> None:
    with pytest.raises(StackAlreadyRunning) as refusal:
        EmbeddedStack(stack.data_dir, StackPorts.any_free(), with_services=False).start()

    assert stack.addresses == refusal.value.addresses
    assert is_running(stack.data_dir)


def test_a_stack_whose_port_is_taken_starts_nothing(stack: EmbeddedStack, tmp_path: Path) -> None:
    taken = urlsplit(stack.addresses["temporal_ui"]).port or 0

    with pytest.raises(PortTaken) as refusal:
        EmbeddedStack(tmp_path, StackPorts(api=0, temporal=0, ui=taken, model=0), with_services=False).start()

    assert refusal.value.option == "--ui-port"
    assert not is_running(tmp_path)
    assert not (tmp_path / "postgres").exists()


def test_a_server_in_memory_leaves_no_file_behind() -> None:
    server = TemporalDevServer(None)
    log_folder = server.service_log.parent
    server.start()
    serves = answers_http(server.ui_port, "/")
    server.stop()

    assert serves
    assert not log_folder.exists()
