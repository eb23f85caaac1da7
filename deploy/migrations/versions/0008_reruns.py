"""Re-runs: which run a run repeats, what it takes over from it, and the outputs of maps, which no step row has."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN rerun_of varchar")
    op.execute("ALTER TABLE runs ADD COLUMN reuse_digest varchar")
    op.execute("CREATE INDEX ix_runs_rerun_of ON runs (org_id, rerun_of) WHERE rerun_of IS NOT NULL")
    # Ranges of a map's items are read by their index.
    op.execute("CREATE INDEX ix_steps_items ON steps (org_id, run_id, node_id, generation, item_index)")
    op.execute("DROP INDEX ix_steps_run")
    op.execute("""
        CREATE TABLE map_outputs (
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            node_id varchar NOT NULL,
            generation integer NOT NULL,
            output_digest varchar NOT NULL,
            output_bytes bigint NOT NULL,
            PRIMARY KEY (org_id, run_id, node_id, generation)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE map_outputs")
    op.execute("CREATE INDEX ix_steps_run ON steps (org_id, run_id, node_id)")
    op.execute("DROP INDEX ix_steps_items")
    op.execute("DROP INDEX ix_runs_rerun_of")
    op.execute("ALTER TABLE runs DROP COLUMN reuse_digest")
    op.execute("ALTER TABLE runs DROP COLUMN rerun_of")
