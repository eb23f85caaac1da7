"""The main job with the local model: submitted in every way there is, killed in the middle, and accounted for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from agentflow.client import AgentflowClient
from agentflow.client_types import RunDocument
from agentflow.database import with_psycopg_driver
from cli.embedded.stack import EmbeddedStack
from cli.embedded.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = {"document_key": "sample.pdf"}
PII_OF_THE_SAMPLE = {"EMAIL", "IBAN", "IP", "PHONE"}


def agentctl(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "agentctl")
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def rows(stack: EmbeddedStack, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    engine = create_engine(with_psycopg_driver(stack.environment()["DATABASE_URL"]))
    try:
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]
    finally:
        engine.dispose()


def node(run: RunDocument, node_id: str) -> Any:
    return next(node for node in run["nodes"] if node["id"] == node_id)


def test_a_run_survives_the_kill_of_its_worker_and_of_the_api_and_bills_nothing_twice(
    stack: EmbeddedStack, client: AgentflowClient
) -> None:
    run_id = client.submit_run("document_analysis", inputs=INPUTS, budget_cents=1000)["run_id"]
    assert wait_until(lambda: (node(client.get_run(run_id), "analyze")["items_done"] or 0) >= 2, timeout_seconds=90)
    before = stack.pids()

    for part in ("worker", "api"):
        pid = before[part]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    run = client.wait(run_id, timeout_seconds=180)

    assert "succeeded" == run["state"]
    assert all(stack.pids()[part] not in {None, before[part]} for part in ("worker", "api"))
    items = node(run, "analyze")["items_total"]
    assert run["outputs"] is not None
    assert items == run["outputs"]["passages"] == node(run, "analyze")["items_done"]
    billed = [
        row["step"]
        for row in rows(
            stack,
            "SELECT details->>'step' AS step FROM ledger_entries"
            " WHERE run_id = :run_id AND account <> 'funds' AND reason = 'usage'",
            run_id=run_id,
        )
    ]
    assert sorted({*(f"analyze[{at}]" for at in range(items)), "summarize"}) == sorted(billed)
    # What was under way when the worker died is taken over by a later attempt, counted, and still set aside.
    (steps,) = rows(
        stack,
        "SELECT sum(possible_duplicates) AS duplicates, count(*) FILTER (WHERE state = 'committed') AS committed,"
        " count(*) AS steps FROM steps WHERE run_id = :run_id",
        run_id=run_id,
    )
    assert steps["committed"] == steps["steps"]
    holds = rows(stack, "SELECT state FROM reservations WHERE run_id = :run_id AND state <> 'settled'", run_id=run_id)
    assert steps["duplicates"] == len(holds) > 0
    assert {"held", "uncertain"} >= {hold["state"] for hold in holds}


@pytest.fixture(scope="module")
def submitted(
    client: AgentflowClient, command_environment: dict[str, str]
) -> tuple[RunDocument, subprocess.CompletedProcess[str]]:
    """A whole run, submitted and waited for as the specification's quick start does."""
    assert client.is_ready()
    command = agentctl(
        command_environment,
        *("workflow", "submit", "document_analysis", "--inputs", json.dumps(INPUTS), "--budget", "1000"),
        *("--wait", "-o", "json"),
    )
    assert 0 == command.returncode, command.stderr
    run: RunDocument = json.loads(command.stdout)
    return run, command


Submitted = tuple[RunDocument, subprocess.CompletedProcess[str]]


def test_agentctl_submits_follows_and_shows_status_and_trace(
    submitted: Submitted, command_environment: dict[str, str]
) -> None:
    run, command = submitted

    status = agentctl(command_environment, "workflow", "status", run["run_id"])
    trace = agentctl(command_environment, "trace", "get", run["run_id"], "--width", "120")

    assert "succeeded" == run["state"]
    assert "running    analyze (map of llm)" in command.stderr
    assert (0, 0) == (status.returncode, trace.returncode)
    assert run["trace_id"] in status.stdout
    assert "invoke_workflow document_analysis" in trace.stdout
    assert "map analyze" in trace.stdout
    assert "chat smollm2-135m-instruct" in trace.stdout


def test_the_run_has_its_report_its_cost_and_its_page_in_temporals_web_ui(
    stack: EmbeddedStack, client: AgentflowClient, submitted: Submitted
) -> None:
    run, _ = submitted
    trace = client.get_trace(run["run_id"])

    assert run["outputs"] is not None
    assert run["outputs"]["report"].startswith("# Analysis of sample.pdf\n")
    assert (True, run["trace_id"]) == (trace["is_complete"], trace["trace_id"])
    assert 0 < run["cost_micro_usd"] == trace["totals"]["cost_micro_usd"]
    page = f"{stack.addresses['temporal_ui']}/api/v1/namespaces/default/workflows/{run['run_id']}"
    assert 200 == httpx.get(page, timeout=30).status_code
    assert run["temporal_ui_url"] == f"{stack.addresses['temporal_ui']}/namespaces/default/workflows/{run['run_id']}"


def test_no_personal_data_of_the_document_reaches_the_report_or_rests_in_the_clear(
    stack: EmbeddedStack, submitted: Submitted
) -> None:
    run, _ = submitted

    assert PII_OF_THE_SAMPLE <= set(run["pii"])
    assert run["outputs"] is not None
    for secret in ("ines.whitlock@", "+1 202-555-0142", "GB82 WEST", "203.0.113.47"):
        assert secret not in run["outputs"]["report"]
    vault = rows(stack, "SELECT kind, sealed FROM vault_tokens")
    assert PII_OF_THE_SAMPLE <= {row["kind"] for row in vault}
    assert not any(b"example" in bytes(row["sealed"]) for row in vault)


def test_a_run_of_the_specifications_request_body_is_cancelled_by_agentctl(
    stack: EmbeddedStack, client: AgentflowClient, api_key: str, command_environment: dict[str, str]
) -> None:
    body = {
        "workflow_name": "document_analysis",
        "workflow_version": 1,
        "inputs": {"document_key": "sample.pdf"},
        "budget_cents": 1000,
    }
    address, headers = f"{stack.addresses['api']}/api/v1/workflows/runs", {"X-API-Key": api_key}
    answer = httpx.post(address, json=body, headers=headers, timeout=30)
    assert 201 == answer.status_code
    run_id = answer.json()["run_id"]
    assert wait_until(lambda: node(client.get_run(run_id), "analyze")["state"] == "running", timeout_seconds=60)

    cancelled = agentctl(command_environment, "workflow", "cancel", run_id)
    watched = agentctl(command_environment, "workflow", "watch", run_id, "--timeout", "60")

    assert 0 == cancelled.returncode
    assert 3 == watched.returncode
    assert "cancelled" == client.get_run(run_id)["state"]
    assert "succeeded" == node(client.get_run(run_id), "split")["state"]
