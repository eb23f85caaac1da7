"""The first tables of scl: sealed values by token, and the audit of their opening."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE vault_tokens (
            org_id varchar NOT NULL,
            token varchar NOT NULL,
            kind varchar NOT NULL,
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, token)
        )
    """)
    op.execute("""
        CREATE TABLE scl_detokenisations (
            audit_id varchar PRIMARY KEY,
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            node_id varchar NOT NULL,
            tokens integer NOT NULL,
            kinds jsonb NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX ix_scl_detokenisations_org_id_run_id ON scl_detokenisations (org_id, run_id)")


def downgrade() -> None:
    op.execute("DROP TABLE scl_detokenisations")
    op.execute("DROP TABLE vault_tokens")
