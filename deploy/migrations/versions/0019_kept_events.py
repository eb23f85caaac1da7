"""Kept events: those that came before anything waited for them."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE kept_events (
            event_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            event_key varchar NOT NULL,
            payload_digest varchar NOT NULL,
            size_bytes integer NOT NULL,
            delivered_by varchar NOT NULL,
            arrived_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            gate_id varchar
        )
    """)
    op.execute("CREATE INDEX ix_kept_events_run ON kept_events (org_id, run_id)")
    op.execute("CREATE INDEX ix_kept_events_expiry ON kept_events (expires_at) WHERE gate_id IS NULL")
    op.execute("CREATE UNIQUE INDEX ix_kept_events_gate ON kept_events (org_id, gate_id) WHERE gate_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE kept_events")
