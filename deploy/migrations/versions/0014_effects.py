"""Effects: the class of a step's effect, whether it is settled, and gates of single steps."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE steps ADD COLUMN effect_class varchar")
    op.execute("ALTER TABLE steps ADD COLUMN unsettled boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE gates ADD COLUMN item_index integer")
    op.execute("ALTER TABLE gates ADD COLUMN part varchar")
    op.execute("ALTER TABLE gates ADD COLUMN workflow_id varchar")


def downgrade() -> None:
    op.execute("ALTER TABLE gates DROP COLUMN workflow_id")
    op.execute("ALTER TABLE gates DROP COLUMN part")
    op.execute("ALTER TABLE gates DROP COLUMN item_index")
    op.execute("ALTER TABLE steps DROP COLUMN unsettled")
    op.execute("ALTER TABLE steps DROP COLUMN effect_class")
