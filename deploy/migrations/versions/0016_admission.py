"""Admission: how many runs of an organisation may be at work or wait, whose turn it is, and how work is weighed."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE runs
            ADD COLUMN admitted_at timestamptz,
            ADD COLUMN priority integer,
            ADD COLUMN fairness_key varchar,
            ADD COLUMN fairness_weight double precision
    """)
    # Whatever was recorded before was free to start.
    op.execute("UPDATE runs SET admitted_at = created_at WHERE state IN ('submitted', 'running')")
    op.execute("CREATE INDEX ix_runs_queued ON runs (org_id, run_id) WHERE state = 'submitted' AND admitted_at IS NULL")
    op.execute("""
        CREATE INDEX ix_runs_at_work ON runs (org_id)
        WHERE state IN ('submitted', 'running') AND admitted_at IS NOT NULL
    """)
    op.execute("CREATE INDEX ix_runs_turns ON runs (org_id, admitted_at) WHERE admitted_at IS NOT NULL")
    op.execute("""
        CREATE TABLE organisation_limits (
            org_id varchar PRIMARY KEY,
            max_running_runs integer,
            max_queued_runs integer,
            fairness_weight double precision,
            highest_priority integer
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE organisation_limits")
    op.execute("DROP INDEX ix_runs_turns, ix_runs_at_work, ix_runs_queued")
    op.execute("""
        ALTER TABLE runs DROP COLUMN fairness_weight, DROP COLUMN fairness_key, DROP COLUMN priority,
            DROP COLUMN admitted_at
    """)
