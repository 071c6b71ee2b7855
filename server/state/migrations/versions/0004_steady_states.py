"""States know how long their pending change and their blindness were observed, and what their latest looks say together.

Runs know how far the wall clock was from their steady time, and why nobody observed before them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("pending_last_ms", sa.BigInteger(), nullable=True),
        sa.Column("pending_held_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("blind_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("blind_last_ms", sa.BigInteger(), nullable=True),
        sa.Column("blind_held_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("recent", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("flapping_since_ms", sa.BigInteger(), nullable=True),
    ):
        op.add_column("state", column)
    for column in (
        sa.Column("ahead_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("gap_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("cause", sa.String(length=40), nullable=False, server_default=""),
    ):
        op.add_column("monitor_run", column)
