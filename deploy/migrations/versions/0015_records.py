"""Records: small JSON values of an organisation, written by the transaction that records the step."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE records (
            org_id varchar NOT NULL,
            collection varchar NOT NULL,
            key varchar NOT NULL,
            value text NOT NULL,
            version bigint NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, collection, key)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE records")
