"""The first tables of promptops: prompt versions and their deployments."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE prompt_versions (
            org_id varchar NOT NULL,
            name varchar NOT NULL,
            version integer NOT NULL,
            digest varchar NOT NULL,
            template varchar NOT NULL,
            input_schema jsonb,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, name, version),
            CONSTRAINT uq_prompt_versions_digest UNIQUE (org_id, name, digest)
        )
    """)
    op.execute("""
        CREATE TABLE prompt_deployments (
            org_id varchar NOT NULL,
            name varchar NOT NULL,
            stable_version integer NOT NULL,
            canary_version integer,
            canary_ratio double precision NOT NULL,
            revision integer NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, name),
            CONSTRAINT fk_prompt_deployments_stable FOREIGN KEY (org_id, name, stable_version)
                REFERENCES prompt_versions (org_id, name, version),
            CONSTRAINT fk_prompt_deployments_canary FOREIGN KEY (org_id, name, canary_version)
                REFERENCES prompt_versions (org_id, name, version)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE prompt_deployments")
    op.execute("DROP TABLE prompt_versions")
