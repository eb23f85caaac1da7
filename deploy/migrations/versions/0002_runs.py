"""The first tables of runs: workflow specs, runs, the effect journal."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE workflow_specs (
            org_id varchar NOT NULL,
            name varchar NOT NULL,
            version integer NOT NULL,
            digest varchar NOT NULL,
            document varchar NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, name, version)
        )
    """)
    op.execute("""
        CREATE TABLE runs (
            run_id varchar PRIMARY KEY,
            org_id varchar NOT NULL,
            workflow_name varchar NOT NULL,
            workflow_version integer NOT NULL,
            spec_digest varchar NOT NULL,
            plan_digest varchar NOT NULL,
            inputs_digest varchar NOT NULL,
            state varchar NOT NULL,
            idempotency_key varchar,
            budget_micro_usd bigint,
            created_at timestamptz NOT NULL,
            started_at timestamptz,
            finished_at timestamptz,
            cancel_requested_at timestamptz,
            outputs_digest varchar,
            error_code varchar,
            error_message varchar,
            failed_node varchar,
            node_states jsonb NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE UNIQUE INDEX ux_runs_idempotency_key ON runs (org_id, idempotency_key)")
    op.execute("CREATE INDEX ix_runs_org_run ON runs (org_id, run_id)")
    op.execute("CREATE INDEX ix_runs_unstarted ON runs (created_at) WHERE state = 'submitted'")
    op.execute("CREATE INDEX ix_runs_running ON runs (run_id) WHERE state IN ('submitted', 'running')")
    op.execute("""
        CREATE TABLE steps (
            effect_key varchar PRIMARY KEY,
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            node_id varchar NOT NULL,
            item_index integer,
            item_count integer,
            generation integer NOT NULL,
            kind varchar NOT NULL,
            state varchar NOT NULL,
            attempt integer NOT NULL,
            fence integer NOT NULL,
            lease_expires_at timestamptz,
            request_digest varchar NOT NULL,
            output_digest varchar,
            output_bytes bigint,
            facts jsonb,
            usage jsonb,
            cost_micro_usd bigint NOT NULL DEFAULT 0,
            possible_duplicates integer NOT NULL,
            error_code varchar,
            error_message varchar,
            started_at timestamptz NOT NULL,
            finished_at timestamptz
        )
    """)
    op.execute("CREATE INDEX ix_steps_run ON steps (org_id, run_id, node_id)")


def downgrade() -> None:
    op.execute("DROP TABLE steps")
    op.execute("DROP TABLE runs")
    op.execute("DROP TABLE workflow_specs")
