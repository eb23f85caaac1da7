"""SQL of specs and runs."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.money import MicroUsd
from agentflow.storable_text import storable_text
from runs.models import NewRun, Run, RunsBelow, RunState, Spec
from runs.plan import NodeState

_SPEC_COLUMNS = "org_id, name, version, digest, document, created_at"
_INSERT_SPEC = text("""
    INSERT INTO workflow_specs (org_id, name, version, digest, document, created_at)
    VALUES (:org_id, :name, :version, :digest, :document, :now)
    ON CONFLICT (org_id, name, version) DO NOTHING
    RETURNING version
""")
_SELECT_SPEC = text(f"""
    SELECT {_SPEC_COLUMNS} FROM workflow_specs
    WHERE org_id = :org_id AND name = :name AND (version = :version OR cast(:version AS numeric) IS NULL)
    ORDER BY version DESC LIMIT 1
""")  # the columns are a constant above
_LIST_SPECS = text("""
    SELECT DISTINCT ON (name) org_id, name, version, digest, '' AS document, created_at FROM workflow_specs
    WHERE org_id = :org_id AND name > :after
    ORDER BY name, version DESC LIMIT :limit
""")

_INSERT_RUN = text("""
    INSERT INTO runs (run_id, org_id, workflow_name, workflow_version, spec_digest, plan_digest, inputs_digest,
                      state, idempotency_key, budget_micro_usd, rerun_of, reuse_digest, created_at,
                      admitted_at, priority, fairness_key, fairness_weight)
    VALUES (:run_id, :org_id, :workflow_name, :workflow_version, :spec_digest, :plan_digest, :inputs_digest,
            'submitted', :idempotency_key, :budget_micro_usd, :rerun_of, :reuse_digest, :now,
            CASE WHEN :is_admitted THEN clock_timestamp() END, :priority, :fairness_key, :fairness_weight)
    ON CONFLICT (org_id, idempotency_key) DO NOTHING
    RETURNING run_id
""")
_INSERT_CHILD_RUN = text("""
    INSERT INTO runs (run_id, org_id, workflow_name, workflow_version, spec_digest, plan_digest, inputs_digest, state,
                      parent_run_id, parent_node_id, root_run_id, rerun_of, reuse_digest, created_at, started_at)
    VALUES (:run_id, :org_id, :workflow_name, :workflow_version, :spec_digest, :plan_digest, :inputs_digest, 'running',
            :parent_run_id, :parent_node_id, :root_run_id, :rerun_of, :reuse_digest, :now, :now)
    ON CONFLICT (run_id) DO NOTHING
""")
#: What a run has cost is what its steps, and those of the runs below it, have cost: derived, never stored twice.
_SELECT_RUN = """
    SELECT runs.*, coalesce((
        SELECT sum(steps.cost_micro_usd) FROM steps WHERE steps.org_id = runs.org_id AND steps.run_id = runs.run_id
    ), 0)::bigint + coalesce((
        SELECT sum(steps.cost_micro_usd) FROM runs AS below
        JOIN steps ON steps.org_id = below.org_id AND steps.run_id = below.run_id
        WHERE below.org_id = runs.org_id AND below.root_run_id = coalesce(runs.root_run_id, runs.run_id)
          AND starts_with(below.run_id, runs.run_id || '-')
    ), 0)::bigint AS cost_micro_usd
    FROM runs
"""
_GET_RUN = text(f"{_SELECT_RUN} WHERE runs.org_id = :org_id AND runs.run_id = :run_id")
_GET_RUN_BY_KEY = text(f"{_SELECT_RUN} WHERE runs.org_id = :org_id AND runs.idempotency_key = :idempotency_key")
_LIST_RUNS = text(f"""
    {_SELECT_RUN} WHERE runs.org_id = :org_id AND runs.run_id < :before
      AND (cast(:workflow_name AS varchar) IS NULL OR runs.workflow_name = :workflow_name)
      AND (cast(:state AS varchar) IS NULL OR runs.state = :state)
      AND runs.parent_run_id IS NOT DISTINCT FROM cast(:parent_run_id AS varchar)
    ORDER BY runs.run_id DESC LIMIT :limit
""")
#: A run's id opens with that of the run above it.
_RUNS_BELOW = text("""
    WITH children AS (
        SELECT run_id, parent_node_id, state FROM runs
        WHERE org_id = :org_id AND parent_run_id = :run_id
          AND root_run_id = (SELECT coalesce(root_run_id, run_id) FROM runs WHERE org_id = :org_id AND run_id = :run_id)
    ),
    steps_below AS (
        SELECT children.parent_node_id, steps.usage, steps.cost_micro_usd FROM children
        JOIN runs AS below ON below.org_id = :org_id
          AND below.root_run_id = (SELECT coalesce(root_run_id, run_id) FROM runs WHERE org_id = :org_id
                                   AND run_id = :run_id)
          AND (below.run_id = children.run_id OR starts_with(below.run_id, children.run_id || '-'))
        JOIN steps ON steps.org_id = below.org_id AND steps.run_id = below.run_id
    ),
    spent AS (
        SELECT parent_node_id, sum((usage ->> 'input_tokens')::bigint) AS input_tokens,
               sum((usage ->> 'output_tokens')::bigint) AS output_tokens, sum(cost_micro_usd) AS cost_micro_usd
        FROM steps_below GROUP BY parent_node_id
    ),
    found AS (
        SELECT parent_node_id, kinds.kind, sum(kinds.occurrences::bigint) AS occurrences
        FROM steps_below CROSS JOIN LATERAL jsonb_each_text(coalesce(usage -> 'pii', '{}')) AS kinds (kind, occurrences)
        GROUP BY parent_node_id, kinds.kind
    )
    SELECT parent_node_id AS node_id, count(*) AS runs, count(*) FILTER (WHERE state = 'running') AS running,
           count(*) FILTER (WHERE state IN ('failed', 'cancelled')) AS failed,
           coalesce(min(spent.input_tokens), 0)::bigint AS input_tokens,
           coalesce(min(spent.output_tokens), 0)::bigint AS output_tokens,
           coalesce(min(spent.cost_micro_usd), 0)::bigint AS cost_micro_usd,
           coalesce((
               SELECT jsonb_object_agg(found.kind, found.occurrences) FROM found
               WHERE found.parent_node_id = children.parent_node_id
           ), '{}') AS pii
    FROM children LEFT JOIN spent USING (parent_node_id) GROUP BY parent_node_id
""")
_UNSTARTED = text(f"""
    {_SELECT_RUN} WHERE runs.state = 'submitted' AND runs.admitted_at < :before AND runs.run_id > :after
    ORDER BY runs.run_id LIMIT :limit
""")
_CANCELLING = text(f"""
    {_SELECT_RUN} WHERE runs.state IN ('submitted', 'running') AND runs.cancel_requested_at < :before
      AND runs.run_id > :after ORDER BY runs.run_id LIMIT :limit
""")
_RUNNING = text(f"""
    {_SELECT_RUN} WHERE runs.state = 'running' AND runs.started_at < :before AND runs.run_id > :after
      AND NOT EXISTS (
          SELECT FROM runs AS above WHERE above.org_id = runs.org_id AND above.run_id = runs.parent_run_id
            AND above.state IN ('submitted', 'running')
      )
    ORDER BY runs.run_id LIMIT :limit
""")
_REUSE_DIGEST = text("SELECT reuse_digest FROM runs WHERE org_id = :org_id AND run_id = :run_id")
_DIGESTS = text("SELECT plan_digest, inputs_digest FROM runs WHERE org_id = :org_id AND run_id = :run_id")
_MARK_RUNNING = text("""
    UPDATE runs SET state = 'running', started_at = coalesce(started_at, :now)
    WHERE org_id = :org_id AND run_id = :run_id AND state IN ('submitted', 'running')
""")
_REQUEST_CANCEL = text("""
    UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, :now)
    WHERE org_id = :org_id AND run_id = :run_id AND state IN ('submitted', 'running')
    RETURNING run_id
""")
_PAUSE = text("""
    UPDATE runs SET paused_at = coalesce(paused_at, :now)
    WHERE org_id = :org_id AND run_id = :run_id AND state IN ('submitted', 'running')
    RETURNING run_id
""")
_RESUME = text("""
    UPDATE runs SET paused_at = NULL
    WHERE org_id = :org_id AND run_id = :run_id AND state IN ('submitted', 'running')
    RETURNING run_id
""")
_FINISH_RUN = text("""
    UPDATE runs SET state = :state, finished_at = :now, outputs_digest = :outputs_digest, error_code = :error_code,
                    error_message = :error_message, failed_node = :failed_node,
                    node_states = cast(:node_states AS jsonb)
    WHERE org_id = :org_id AND run_id = :run_id AND state IN ('submitted', 'running')
""")


class RunRepository:
    """Specs and runs; every statement names the organisation, and none commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_spec(self, spec: Spec) -> bool:
        """Stores a spec; False when the version exists already."""
        parameters = {
            "org_id": spec.org_id,
            "name": spec.name,
            "version": spec.version,
            "digest": spec.digest,
            "document": spec.document,
            "now": spec.created_at,
        }
        return (await self._session.execute(_INSERT_SPEC, parameters)).first() is not None

    async def get_spec(self, *, org_id: str, name: str, version: int | None) -> Spec | None:
        """A version of a spec, the latest when `version` is None."""
        parameters = {"org_id": org_id, "name": name, "version": version}
        row = (await self._session.execute(_SELECT_SPEC, parameters)).mappings().first()
        return Spec(**row) if row else None

    async def list_specs(self, *, org_id: str, after: str, limit: int) -> list[Spec]:
        """The latest version of each spec, by name, without the documents."""
        rows = await self._session.execute(_LIST_SPECS, {"org_id": org_id, "after": after, "limit": limit})
        return [Spec(**row) for row in rows.mappings()]

    async def add_run(self, run: NewRun, *, now: datetime, is_admitted: bool = True) -> bool:
        """Records a run, free to start or waiting for its turn; False when the idempotency key has been used."""
        parameters = {
            "run_id": run.run_id,
            "org_id": run.org_id,
            "workflow_name": run.workflow_name,
            "workflow_version": run.workflow_version,
            "spec_digest": run.spec_digest,
            "plan_digest": run.plan_digest,
            "inputs_digest": run.inputs_digest,
            "idempotency_key": run.idempotency_key,
            "budget_micro_usd": run.budget_micro_usd,
            "rerun_of": run.rerun_of,
            "reuse_digest": run.reuse_digest,
            "is_admitted": is_admitted,
            "priority": run.priority,
            "fairness_key": run.fairness_key,
            "fairness_weight": run.fairness_weight,
            "now": now,
        }
        return (await self._session.execute(_INSERT_RUN, parameters)).first() is not None

    async def add_child_run(self, run: NewRun, *, now: datetime) -> Run:
        """Records a run below another, or finds it where it is recorded already."""
        if run.parent is None:
            raise ValueError("a run below another has a parent")
        parameters = {
            "run_id": run.run_id,
            "org_id": run.org_id,
            "workflow_name": run.workflow_name,
            "workflow_version": run.workflow_version,
            "spec_digest": run.spec_digest,
            "plan_digest": run.plan_digest,
            "inputs_digest": run.inputs_digest,
            "parent_run_id": run.parent.run_id,
            "parent_node_id": run.parent.node_id,
            "root_run_id": run.parent.root_run_id,
            "rerun_of": run.rerun_of,
            "reuse_digest": run.reuse_digest,
            "now": now,
        }
        await self._session.execute(_INSERT_CHILD_RUN, parameters)
        found = await self.get_run(org_id=run.org_id, run_id=run.run_id)
        if found is None:
            raise ValueError(f"{run.run_id!r} is another organisation's")
        return found

    async def get_run(self, *, org_id: str, run_id: str) -> Run | None:
        """A run with what it has cost so far."""
        row = (await self._session.execute(_GET_RUN, {"org_id": org_id, "run_id": run_id})).mappings().first()
        return run_of(row) if row else None

    async def get_run_by_key(self, *, org_id: str, idempotency_key: str) -> Run | None:
        """The run that an idempotency key started."""
        parameters = {"org_id": org_id, "idempotency_key": idempotency_key}
        row = (await self._session.execute(_GET_RUN_BY_KEY, parameters)).mappings().first()
        return run_of(row) if row else None

    async def list_runs(
        self,
        *,
        org_id: str,
        before: str,
        limit: int,
        workflow_name: str | None,
        state: RunState | None,
        parent_run_id: str | None = None,
    ) -> list[Run]:
        """Runs, latest first, older than the run id `before`: those at the top, or those right below one."""
        parameters = {
            "org_id": org_id,
            "before": before,
            "limit": limit,
            "workflow_name": workflow_name,
            "state": state.value if state else None,
            "parent_run_id": parent_run_id,
        }
        rows = await self._session.execute(_LIST_RUNS, parameters)
        return [run_of(row) for row in rows.mappings()]

    async def runs_below(self, *, org_id: str, run_id: str) -> list[RunsBelow]:
        """What the runs below each node of a run come to, those below them included."""
        rows = await self._session.execute(_RUNS_BELOW, {"org_id": org_id, "run_id": run_id})
        return [RunsBelow(**{**row, "cost_micro_usd": MicroUsd(row["cost_micro_usd"])}) for row in rows.mappings()]

    async def unstarted_runs(self, *, before: datetime, limit: int, after: str = "") -> list[Run]:
        """A page, by run id, of all organisations' runs that were let in before an instant and never opened."""
        rows = await self._session.execute(_UNSTARTED, {"before": before, "after": after, "limit": limit})
        return [run_of(row) for row in rows.mappings()]

    async def cancelling_runs(self, *, before: datetime, limit: int, after: str = "") -> list[Run]:
        """A page, by run id, of all organisations' runs that were to be cancelled before an instant and go on."""
        rows = await self._session.execute(_CANCELLING, {"before": before, "after": after, "limit": limit})
        return [run_of(row) for row in rows.mappings()]

    async def running_runs(self, *, before: datetime, after: str, limit: int) -> list[Run]:
        """A page, by run id, of all organisations' runs that were running before an instant: for the sweeper."""
        rows = await self._session.execute(_RUNNING, {"before": before, "after": after, "limit": limit})
        return [run_of(row) for row in rows.mappings()]

    async def mark_running(self, *, org_id: str, run_id: str, now: datetime) -> None:
        """Notes that a run's workflow works."""
        await self._session.execute(_MARK_RUNNING, {"org_id": org_id, "run_id": run_id, "now": now})

    async def digests(self, *, org_id: str, run_id: str) -> tuple[str, str] | None:
        """The digests of a run's plan and of its inputs, which never change."""
        row = (await self._session.execute(_DIGESTS, {"org_id": org_id, "run_id": run_id})).first()
        return None if row is None else (row.plan_digest, row.inputs_digest)

    async def reuse_digest(self, *, org_id: str, run_id: str) -> str | None:
        """The manifest of what a run takes over from an earlier one; None for a run of its own."""
        row = await self._session.execute(_REUSE_DIGEST, {"org_id": org_id, "run_id": run_id})
        found: str | None = row.scalar_one_or_none()
        return found

    async def request_cancel(self, *, org_id: str, run_id: str, now: datetime) -> bool:
        """Notes that someone wants a run cancelled; False when it has ended."""
        parameters = {"org_id": org_id, "run_id": run_id, "now": now}
        return (await self._session.execute(_REQUEST_CANCEL, parameters)).first() is not None

    async def pause(self, *, org_id: str, run_id: str, now: datetime) -> bool:
        """Notes that nothing more of a run is to begin; False when it has ended."""
        parameters = {"org_id": org_id, "run_id": run_id, "now": now}
        return (await self._session.execute(_PAUSE, parameters)).first() is not None

    async def resume(self, *, org_id: str, run_id: str) -> bool:
        """Notes that a run goes on; False when it has ended."""
        parameters = {"org_id": org_id, "run_id": run_id}
        return (await self._session.execute(_RESUME, parameters)).first() is not None

    async def finish_run(
        self,
        *,
        org_id: str,
        run_id: str,
        state: RunState,
        now: datetime,
        node_states: Mapping[str, NodeState],
        outputs_digest: str | None,
        error_code: str | None,
        error_message: str | None,
        failed_node: str | None,
    ) -> None:
        """Records how a run ended; does nothing when that is recorded already."""
        parameters = {
            "org_id": org_id,
            "run_id": run_id,
            "state": state.value,
            "now": now,
            "outputs_digest": outputs_digest,
            "error_code": error_code,
            "error_message": storable_text(error_message) if error_message is not None else None,
            "failed_node": failed_node,
            "node_states": json.dumps(dict(node_states)),
        }
        await self._session.execute(_FINISH_RUN, parameters)


def run_of(row: RowMapping) -> Run:
    """A row of runs, with its cost, as a value."""
    values: dict[str, Any] = dict(row)
    budget = values["budget_micro_usd"]
    values["state"] = RunState(values["state"])
    values["budget_micro_usd"] = MicroUsd(budget) if budget is not None else None
    values["cost_micro_usd"] = MicroUsd(values["cost_micro_usd"])
    values["node_states"] = {node: NodeState(state) for node, state in values["node_states"].items()}
    return Run(**values)
