"""Step parts: a node may be made of several steps, each with a row of its own in the effect journal."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE steps ADD COLUMN part varchar")


def downgrade() -> None:
    op.execute("ALTER TABLE steps DROP COLUMN part")
