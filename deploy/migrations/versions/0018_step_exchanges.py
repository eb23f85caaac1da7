"""Step exchanges: what each attempt of a step sent out and got back, those that failed included."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE step_exchanges (
            org_id varchar NOT NULL,
            exchange_id varchar NOT NULL,
            effect_key varchar NOT NULL,
            run_id varchar NOT NULL,
            attempt integer NOT NULL,
            status varchar NOT NULL,
            error_code varchar,
            error_message varchar,
            content bytea NOT NULL,
            began_at timestamptz NOT NULL,
            ended_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, exchange_id)
        )
    """)
    op.execute("CREATE INDEX ix_step_exchanges_step ON step_exchanges (effect_key)")
    op.execute("CREATE INDEX ix_step_exchanges_run ON step_exchanges (org_id, run_id)")


def downgrade() -> None:
    op.execute("DROP TABLE step_exchanges")
