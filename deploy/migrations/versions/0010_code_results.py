"""Results of code nodes by the digest of their request."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE code_results (
            org_id varchar NOT NULL,
            request_digest varchar NOT NULL,
            output_digest varchar NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, request_digest)
        )
    """)
    op.execute("CREATE INDEX ix_code_results_created ON code_results (created_at)")


def downgrade() -> None:
    op.execute("DROP TABLE code_results")
