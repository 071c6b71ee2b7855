"""Enrolment: one-time tokens, and the hosts that joined with them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invitation",
        _row_id(),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("hosts_left", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.UniqueConstraint("token_hash", name="uq_invitation_token_hash"),
    )
    op.create_table(
        "enrolled",
        _row_id(),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("invitation_id", sa.BigInteger(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("claimant", sa.String(length=255), nullable=True),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=True),
        sa.Column("claimed_from", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["invitation_id"], ["invitation.id"], name="fk_enrolled_invitation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_enrolled"),
        sa.UniqueConstraint("token_hash", name="uq_enrolled_token_hash"),
    )
    op.create_index(
        "ix_enrolled_host",
        "enrolled",
        ["host"],
        unique=True,
        sqlite_where=sa.text("revoked_ms IS NULL"),
        postgresql_where=sa.text("revoked_ms IS NULL"),
    )


def _row_id() -> sa.Column[int]:
    # SQLite numbers rows itself only for a column of exactly INTEGER
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)
