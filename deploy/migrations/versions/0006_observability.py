"""The first tables of observability: spans."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE spans (
            org_id varchar NOT NULL,
            trace_id varchar NOT NULL,
            span_id varchar NOT NULL,
            run_id varchar NOT NULL,
            parent_span_id varchar,
            name varchar NOT NULL,
            kind varchar NOT NULL,
            node_id varchar,
            item_index integer,
            attempt integer NOT NULL,
            status varchar NOT NULL,
            error_type varchar,
            started_at timestamptz NOT NULL,
            ended_at timestamptz NOT NULL,
            attributes jsonb NOT NULL,
            PRIMARY KEY (org_id, trace_id, span_id)
        )
    """)
    op.execute("CREATE INDEX ix_spans_run ON spans (org_id, run_id, started_at)")


def downgrade() -> None:
    op.execute("DROP TABLE spans")
