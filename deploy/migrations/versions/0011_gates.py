"""Gates: what a run waits for from outside, a person's decision or an event."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE gates (
            gate_id varchar PRIMARY KEY,
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            node_id varchar NOT NULL,
            generation integer NOT NULL,
            kind varchar NOT NULL,
            state varchar NOT NULL,
            message varchar,
            subject_digest varchar,
            event_key varchar,
            approvers jsonb NOT NULL DEFAULT '[]',
            opened_at timestamptz NOT NULL,
            due_at timestamptz,
            decided_at timestamptz,
            decided_by varchar,
            decision_id varchar,
            comment varchar
        )
    """)
    op.execute("CREATE INDEX ix_gates_org ON gates (org_id, gate_id)")
    op.execute("CREATE INDEX ix_gates_run ON gates (org_id, run_id)")
    op.execute("CREATE INDEX ix_gates_subject ON gates (subject_digest) WHERE subject_digest IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE gates")
