"""Child runs: runs below runs, and runs that are paused."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE runs ADD COLUMN parent_run_id varchar, ADD COLUMN parent_node_id varchar,
                         ADD COLUMN root_run_id varchar, ADD COLUMN paused_at timestamptz
    """)
    op.execute("CREATE INDEX ix_runs_root ON runs (org_id, root_run_id) WHERE root_run_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX ix_runs_root")
    op.execute("""
        ALTER TABLE runs DROP COLUMN parent_run_id, DROP COLUMN parent_node_id, DROP COLUMN root_run_id,
                         DROP COLUMN paused_at
    """)
