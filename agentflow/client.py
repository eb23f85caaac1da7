"""The one module that user programs import: a client of the HTTP API.

with AgentflowClient("http://127.0.0.1:8080", api_key="af_…") as client:
run = client.submit_run("document_analysis", inputs={"document_key": "sample.pdf"}, budget_cents=1000)
run = client.wait(run["run_id"])
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

import httpx

from agentflow.client_transport import ApiRequestFailed, ApiTransport, ApiUnreachable
from agentflow.client_types import (
    ApprovalDetailDocument,
    ApprovalDocument,
    BudgetDocument,
    BudgetStateDocument,
    DeploymentDocument,
    EventDocument,
    NodeOutputDocument,
    PageDocument,
    PromptDocument,
    PromptListDocument,
    RerunPreviewDocument,
    RunDocument,
    RunSummaryDocument,
    StepDocument,
    StepSummaryDocument,
    WorkflowCheckDocument,
    WorkflowDetailDocument,
    WorkflowDocument,
)
from agentflow.errors import AgentflowError

__all__ = ["FINAL_STATES", "AgentflowClient", "ApiRequestFailed", "ApiUnreachable", "WaitTimedOut"]

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
#: What a server, or a proxy before it, answers while something behind it is away.
_AWAY_STATUSES = frozenset({502, 503, 504})


class WaitTimedOut(AgentflowError):
    """A run had not ended in time; it goes on."""

    code = "client.wait_timed_out"

    def __init__(self, *, run_id: str, seconds: float) -> None:
        self.run_id, self.seconds = run_id, seconds
        super().__init__(f"run {run_id!r} has not ended after {seconds:g} s; it goes on")


class AgentflowClient(ApiTransport):
    """Speaks to one server as one organisation. Not to be shared between threads.

    Every method raises ApiRequestFailed when the server refuses and ApiUnreachable when none answers. Requests that
    can be repeated without harm are, a few times, while no server answers. Raises ConfigurationError for a key that
    no server can have given out.
    """

    def is_ready(self) -> bool:
        """Whether the server, its database and Temporal answer."""
        try:
            return self._http.get("/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def readiness(self) -> dict[str, str]:
        """Each part and whether it answers; raises ApiUnreachable when the server itself does not."""
        response = self._send("GET", "/ready", allow=frozenset({503}))
        return cast("dict[str, str]", self._json(response))

    def register_workflow(self, document: str) -> WorkflowDetailDocument:
        """Registers a version of a workflow from YAML or JSON text; the same text again gives the same version."""
        return cast("WorkflowDetailDocument", self._post_document("/api/v1/workflows", document))

    def validate_workflow(self, document: str) -> WorkflowCheckDocument:
        """What a document compiles to; stores nothing."""
        return cast("WorkflowCheckDocument", self._post_document("/api/v1/workflows/validate", document))

    def list_workflows(self, *, limit: int = 50, cursor: str | None = None) -> PageDocument[WorkflowDocument]:
        """The latest version of each workflow."""
        return cast("PageDocument[WorkflowDocument]", self._get("/api/v1/workflows", limit=limit, cursor=cursor))

    def get_workflow(self, name: str, *, version: int | None = None) -> WorkflowDetailDocument:
        """A registered version, the latest without one, with its document and compiled nodes."""
        return cast("WorkflowDetailDocument", self._get(f"/api/v1/workflows/{_part(name)}", version=version))

    def submit_run(
        self,
        workflow_name: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        version: int | None = None,
        budget_cents: int | None = None,
        idempotency_key: str | None = None,
    ) -> RunDocument:
        """Submits a run and returns it at once. One key, one run: without a key, one is made for this call."""
        body = {
            "workflow_name": workflow_name,
            "workflow_version": version,
            "inputs": dict(inputs or {}),
            "budget_cents": budget_cents,
        }
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        response = self._send("POST", "/api/v1/workflows/runs", json=body, headers=headers, repeatable=True)
        return cast("RunDocument", self._json(response))

    def get_run(self, run_id: str) -> RunDocument:
        """How a run and its nodes stand."""
        return cast("RunDocument", self._get(f"/api/v1/workflows/runs/{_part(run_id)}"))

    def get_run_graph(self, run_id: str) -> WorkflowCheckDocument:
        """What a run runs: its compiled nodes."""
        return cast("WorkflowCheckDocument", self._get(f"/api/v1/workflows/runs/{_part(run_id)}/graph"))

    def get_node_output(self, run_id: str, node_id: str, *, first: int = 0, limit: int = 100) -> NodeOutputDocument:
        """What a node has given, whether its run goes on, failed or was cancelled; a long list comes in parts."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/nodes/{_part(node_id)}/output"
        return cast("NodeOutputDocument", self._get(path, first=first, limit=limit))

    def get_step(
        self, run_id: str, node_id: str, *, item_index: int | None = None, part: str | None = None, attempts: int = 20
    ) -> StepDocument:
        """What happened at a step, failed ones too: what each attempt sent and got, and how its model was chosen."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/nodes/{_part(node_id)}/step"
        return cast("StepDocument", self._get(path, item=item_index, part=part, attempts=attempts))

    def list_steps(
        self,
        run_id: str,
        node_id: str,
        *,
        item_index: int | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> PageDocument[StepSummaryDocument]:
        """What a node is made of: items of its map by index, or its parts; `state="failed"` for those that failed."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/nodes/{_part(node_id)}/steps"
        found = self._get(path, item=item_index, state=state, limit=limit, cursor=cursor)
        return cast("PageDocument[StepSummaryDocument]", found)

    def list_runs(
        self,
        *,
        workflow_name: str | None = None,
        state: str | None = None,
        parent: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> PageDocument[RunSummaryDocument]:
        """Runs, latest first: those at the top, or those right below `parent`."""
        found = self._get(
            "/api/v1/workflows/runs",
            workflow_name=workflow_name,
            state=state,
            parent=parent,
            limit=limit,
            cursor=cursor,
        )
        return cast("PageDocument[RunSummaryDocument]", found)

    def cancel_run(self, run_id: str) -> RunDocument:
        """Asks a run to stop."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/cancel"
        return cast("RunDocument", self._json(self._send("POST", path, repeatable=True)))

    def pause_run(self, run_id: str) -> RunDocument:
        """Lets nothing more of a run begin; what is under way finishes."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/pause"
        return cast("RunDocument", self._json(self._send("POST", path, repeatable=True)))

    def resume_run(self, run_id: str) -> RunDocument:
        """Lets a paused run go on."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/resume"
        return cast("RunDocument", self._json(self._send("POST", path, repeatable=True)))

    def preview_rerun(
        self,
        run_id: str,
        *,
        from_nodes: Sequence[str] = (),
        failed_only: bool = False,
        failed_items: bool = False,
        changes: Mapping[str, Any] | None = None,
        document: str | None = None,
    ) -> RerunPreviewDocument:
        """What `rerun` would take over, do, and cost; starts nothing."""
        body = _rerun_body(from_nodes, changes, document, failed_only=failed_only, failed_items=failed_items)
        path = f"/api/v1/workflows/runs/{_part(run_id)}/rerun/preview"
        return cast("RerunPreviewDocument", self._json(self._send("POST", path, json=body, repeatable=True)))

    def rerun(
        self,
        run_id: str,
        *,
        from_nodes: Sequence[str] = (),
        failed_only: bool = False,
        failed_items: bool = False,
        changes: Mapping[str, Any] | None = None,
        document: str | None = None,
        budget_cents: int | None = None,
        idempotency_key: str | None = None,
    ) -> RunDocument:
        """Starts a run that takes over what a finished run recorded, by digest, and does the rest again.

        `from_nodes` run again with all that comes after them; `changes` are input paths with other values; `document`
        is an edited workflow. With `failed_only` nothing that succeeded may run again; with
        `failed_items` the items that maps tolerated to fail run again, and what comes after these.
        """
        body = _rerun_body(from_nodes, changes, document, failed_only=failed_only, failed_items=failed_items) | {
            "budget_cents": budget_cents
        }
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        path = f"/api/v1/workflows/runs/{_part(run_id)}/rerun"
        response = self._send("POST", path, json=body, headers=headers, repeatable=True)
        return cast("RunDocument", self._json(response))

    def list_approvals(
        self, *, state: str = "open", run_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> PageDocument[ApprovalDocument]:
        """What waits for a decision, or with `closed` what is over."""
        found = self._get("/api/v1/approvals", state=state, run_id=run_id, limit=limit, cursor=cursor)
        return cast("PageDocument[ApprovalDocument]", found)

    def get_approval(self, approval_id: str) -> ApprovalDetailDocument:
        """An approval with what is to be approved."""
        return cast("ApprovalDetailDocument", self._get(f"/api/v1/approvals/{_part(approval_id)}"))

    def decide(
        self,
        approval_id: str,
        *,
        approve: bool,
        subject_digest: str,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> ApprovalDocument:
        """Approves or rejects what `get_approval` showed, which `subject_digest` names."""
        body = {"decision": "approve" if approve else "reject", "subject_digest": subject_digest, "comment": comment}
        return self._decided(f"/api/v1/approvals/{_part(approval_id)}/decision", body, idempotency_key)

    def resolve_doubt(
        self,
        approval_id: str,
        *,
        resolution: str,
        subject_digest: str,
        output: Any = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> ApprovalDocument:
        """Says what became of a step in doubt: `performed` (with its output), `not_performed` or `fail`."""
        body = {"resolution": resolution, "subject_digest": subject_digest, "output": output, "comment": comment}
        return self._decided(f"/api/v1/approvals/{_part(approval_id)}/resolution", body, idempotency_key)

    def deliver_event(self, run_id: str, event_key: str, payload: Mapping[str, Any] | None = None) -> EventDocument:
        """Gives an event to what a run waits for; `became` says whether it is kept for what will wait."""
        path = f"/api/v1/workflows/runs/{_part(run_id)}/events/{_part(event_key)}"
        return cast("EventDocument", self._json(self._send("POST", path, json={"payload": dict(payload or {})})))

    def wait(
        self,
        run_id: str,
        *,
        timeout_seconds: float | None = None,
        interval_seconds: float = 0.5,
        patience_seconds: float = 60.0,
        on_update: Callable[[RunDocument], None] = lambda _: None,
    ) -> RunDocument:
        """The run once it has ended, however it ended; `on_update` sees it at every look.

        A server that is away for less than `patience_seconds` is waited for. Raises WaitTimedOut.
        """
        began = seen_at = time.monotonic()
        while True:
            try:
                run = self.get_run(run_id)
            except (ApiUnreachable, ApiRequestFailed) as error:
                is_away = isinstance(error, ApiUnreachable) or error.status in _AWAY_STATUSES
                if not is_away or time.monotonic() - seen_at > patience_seconds:
                    raise
            else:
                seen_at = time.monotonic()
                on_update(run)
                if run["state"] in FINAL_STATES:
                    return run
            if timeout_seconds is not None and time.monotonic() - began > timeout_seconds:
                raise WaitTimedOut(run_id=run_id, seconds=timeout_seconds)
            time.sleep(interval_seconds)

    def create_prompt(self, *, name: str, template: str, schema: Mapping[str, Any] | None = None) -> PromptDocument:
        """A new version, or the one that has this very content already."""
        body = {"name": name, "template": template, "schema": dict(schema) if schema is not None else None}
        response = self._send("POST", "/api/v1/prompts", json=body, repeatable=True)
        return cast("PromptDocument", self._json(response))

    def get_prompt(self, name: str, version: int | None = None) -> PromptDocument:
        """A version of a prompt, the latest when `version` is None."""
        suffix = f"/{version}" if version is not None else ""
        return cast("PromptDocument", self._get(f"/api/v1/prompts/{_part(name)}{suffix}"))

    def list_prompts(self, *, limit: int = 50, cursor: str | None = None) -> PageDocument[PromptListDocument]:
        """Prompts by name."""
        return cast("PageDocument[PromptListDocument]", self._get("/api/v1/prompts", limit=limit, cursor=cursor))

    def deploy_prompt(
        self,
        name: str,
        *,
        stable_version: int,
        canary_version: int | None = None,
        canary_ratio: float = 0.0,
        expected_revision: int | None = None,
    ) -> DeploymentDocument:
        """Serves these versions under the prompt's name from here on."""
        body = {
            "prompt_name": name,
            "stable_version": stable_version,
            "canary_version": canary_version,
            "canary_ratio": canary_ratio,
            "expected_revision": expected_revision,
        }
        response = self._send("POST", "/api/v1/prompts/deployments", json=body)
        return cast("DeploymentDocument", self._json(response))

    def get_deployment(self, name: str) -> DeploymentDocument | None:
        """What is served under a prompt's name; None where nothing is."""
        path = f"/api/v1/prompts/deployments/{_part(name)}"
        response = self._send("GET", path, repeatable=True, allow=frozenset({httpx.codes.NOT_FOUND}))
        return None if response.is_error else cast("DeploymentDocument", self._json(response))

    def create_budget(self, *, period_type: str, limit_cents: int) -> BudgetDocument:
        """A limit that every model call of the organisation counts against."""
        body = {"period_type": period_type, "limit_cents": limit_cents}
        return cast("BudgetDocument", self._json(self._send("POST", "/api/v1/budgets", json=body)))

    def list_budgets(self, *, limit: int = 50, cursor: str | None = None) -> PageDocument[BudgetDocument]:
        """The organisation's budgets."""
        return cast("PageDocument[BudgetDocument]", self._get("/api/v1/budgets", limit=limit, cursor=cursor))

    def budget_status(self, *, limit: int = 50, cursor: str | None = None) -> PageDocument[BudgetStateDocument]:
        """What is spent and left of each budget."""
        found = self._get("/api/v1/budgets/status", limit=limit, cursor=cursor)
        return cast("PageDocument[BudgetStateDocument]", found)

    def get_trace(self, run_id: str) -> dict[str, Any]:
        """The trace of a run as JSON: figures, and spans with parents before children."""
        return cast("dict[str, Any]", self._get(f"/api/v1/traces/{_part(run_id)}"))

    def _decided(self, path: str, body: dict[str, Any], key: str | None) -> ApprovalDocument:
        response = self._send(
            "POST", path, json=body, headers={"Idempotency-Key": key or str(uuid4())}, repeatable=True
        )
        return cast("ApprovalDocument", self._json(response))


def _rerun_body(
    from_nodes: Sequence[str],
    changes: Mapping[str, Any] | None,
    document: str | None,
    *,
    failed_only: bool,
    failed_items: bool,
) -> dict[str, Any]:
    wish = {"from_nodes": list(from_nodes), "failed_only": failed_only, "failed_items": failed_items}
    return {**wish, "changes": dict(changes or {}), "document": document}


def _part(text: str) -> str:
    """One segment of a path; `..` would be taken for the folder above."""
    segment = quote(text, safe="", errors="surrogatepass")
    return segment if segment.strip(".") else segment.replace(".", "%2E")
