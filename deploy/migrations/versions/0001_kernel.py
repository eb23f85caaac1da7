"""The first tables of the kernel: organisations, API keys, blobs."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE organisations (
            org_id varchar PRIMARY KEY,
            name varchar NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE api_keys (
            key_id varchar PRIMARY KEY,
            org_id varchar NOT NULL REFERENCES organisations (org_id),
            name varchar NOT NULL,
            secret_digest varchar NOT NULL UNIQUE,
            created_at timestamptz NOT NULL,
            revoked_at timestamptz
        )
    """)
    op.execute("CREATE INDEX ix_api_keys_org_id ON api_keys (org_id)")
    op.execute("""
        CREATE TABLE blobs (
            org_id varchar NOT NULL,
            digest varchar NOT NULL,
            media_type varchar NOT NULL,
            content bytea NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, digest)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE blobs")
    op.execute("DROP TABLE api_keys")
    op.execute("DROP TABLE organisations")
