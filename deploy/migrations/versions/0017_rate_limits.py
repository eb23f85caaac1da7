"""Rate limits: buckets of requests and tokens that refill by the clock, and the turns of calls that wait for them."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE rate_buckets (
            org_id varchar NOT NULL,
            name varchar NOT NULL,
            owed_until timestamptz NOT NULL,
            PRIMARY KEY (org_id, name)
        )
    """)
    op.execute("""
        CREATE TABLE rate_bookings (
            org_id varchar NOT NULL,
            booking_id varchar NOT NULL,
            ready_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, booking_id)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE rate_bookings")
    op.execute("DROP TABLE rate_buckets")
