"""Maps of many items: one row for each map that was opened, and one for each item that was worked on in a batch."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE maps (
            map_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            org_id varchar NOT NULL,
            run_id varchar NOT NULL,
            node_id varchar NOT NULL,
            generation integer NOT NULL,
            item_count integer NOT NULL,
            pages_digest varchar NOT NULL,
            is_batched boolean NOT NULL,
            opened_at timestamptz NOT NULL,
            closed_at timestamptz,
            succeeded integer,
            failed integer,
            UNIQUE (org_id, run_id, node_id, generation)
        )
    """)
    # Rows are small and arrive in the order of their key: a hundred thousand of them must cost seconds.
    op.execute("""
        CREATE TABLE map_items (
            org_id varchar NOT NULL,
            map_id bigint NOT NULL,
            item_index integer NOT NULL,
            state varchar NOT NULL,
            output text,
            output_digest varchar,
            error_code varchar,
            error_message varchar,
            finished_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (map_id, item_index)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE map_items")
    op.execute("DROP TABLE maps")
