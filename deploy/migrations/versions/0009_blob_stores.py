"""Blobs outside the database, what runs hold of them, and what finds those that nothing refers to."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE blobs
            ALTER COLUMN content DROP NOT NULL,
            ADD COLUMN location varchar,
            ADD COLUMN size_bytes bigint,
            ADD COLUMN touched_at timestamptz NOT NULL DEFAULT now()
    """)
    op.execute("UPDATE blobs SET size_bytes = length(content)")
    op.execute("""
        ALTER TABLE blobs
            ALTER COLUMN size_bytes SET NOT NULL,
            ADD CONSTRAINT ck_blobs_place CHECK ((content IS NULL) <> (location IS NULL))
    """)
    op.execute("""
        CREATE TABLE blob_holds (
            org_id varchar NOT NULL,
            digest varchar NOT NULL,
            run_id varchar NOT NULL,
            PRIMARY KEY (org_id, digest, run_id)
        )
    """)
    op.execute("CREATE INDEX ix_blob_holds_run ON blob_holds (org_id, run_id)")
    op.execute("""
        CREATE TABLE housekeeping_turns (
            name varchar PRIMARY KEY,
            taken_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE TABLE database_identity (database_id varchar PRIMARY KEY)")
    op.execute("INSERT INTO database_identity (database_id) VALUES (gen_random_uuid()::varchar)")
    op.execute("CREATE INDEX ix_steps_output ON steps (output_digest) WHERE output_digest IS NOT NULL")
    op.execute("CREATE INDEX ix_runs_plan ON runs (plan_digest)")
    op.execute("CREATE INDEX ix_runs_inputs ON runs (inputs_digest)")
    op.execute("CREATE INDEX ix_runs_outputs ON runs (outputs_digest) WHERE outputs_digest IS NOT NULL")
    op.execute("CREATE INDEX ix_runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL")


def downgrade() -> None:
    # Content that lies in an object store cannot be brought back by SQL; its rows would be empty.
    op.execute("""
        DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM blobs WHERE content IS NULL) THEN
                RAISE EXCEPTION 'some blobs lie in BLOB_STORE_URL, which earlier versions cannot read';
            END IF;
        END $$
    """)
    for index in ("ix_runs_finished", "ix_runs_outputs", "ix_runs_inputs", "ix_runs_plan", "ix_steps_output"):
        op.execute(f"DROP INDEX {index}")
    op.execute("DROP TABLE database_identity")
    op.execute("DROP TABLE housekeeping_turns")
    op.execute("DROP TABLE blob_holds")
    op.execute("ALTER TABLE blobs DROP CONSTRAINT ck_blobs_place")
    op.execute("ALTER TABLE blobs DROP COLUMN touched_at, DROP COLUMN size_bytes, DROP COLUMN location")
    op.execute("ALTER TABLE blobs ALTER COLUMN content SET NOT NULL")
