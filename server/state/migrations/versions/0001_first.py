"""The first shape of state: belief, messages, ledger, people."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _belief()
    _messages()
    _ledger()
    _people()


def _row_id() -> sa.Column[int]:
    # SQLite numbers rows itself only for a column of exactly INTEGER
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)


def _belief() -> None:
    op.create_table(
        "state",
        sa.Column("check_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("pending_status", sa.String(length=10), nullable=True),
        sa.Column("pending_reason", sa.String(length=40), nullable=True),
        sa.Column("pending_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("pending_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blind_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_status", sa.String(length=10), nullable=False),
        sa.Column("last_reason", sa.String(length=40), nullable=False),
        sa.Column("last_detail", sa.Text(), server_default="", nullable=False),
        sa.Column("last_took_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_phases", sa.Text(), server_default="{}", nullable=False),
        sa.Column("last_facts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("last_up_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("check_id", "subject", name="pk_state"),
    )
    op.create_table(
        "incident",
        _row_id(),
        sa.Column("check_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.Column("close_reason", sa.String(length=40), nullable=True),
        sa.Column("acked_ms", sa.BigInteger(), nullable=True),
        sa.Column("acked_by", sa.String(length=100), nullable=True),
        sa.Column("ack_note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
    )
    op.create_index(
        "ix_incident_open",
        "incident",
        ["check_id", "subject"],
        unique=True,
        sqlite_where=sa.text("closed_ms IS NULL"),
        postgresql_where=sa.text("closed_ms IS NULL"),
    )
    op.create_index("ix_incident_opened", "incident", ["opened_ms"], unique=False)
    op.create_index("ix_incident_subject", "incident", ["subject", "opened_ms"], unique=False)
    op.create_table(
        "flip",
        _row_id(),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("check_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("from_status", sa.String(length=10), nullable=False),
        sa.Column("to_status", sa.String(length=10), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_flip_incident_id"),
        sa.PrimaryKeyConstraint("id", name="pk_flip"),
    )
    op.create_index("ix_flip_incident_id", "flip", ["incident_id"], unique=False)
    op.create_index("ix_flip_subject", "flip", ["subject", "at_ms"], unique=False)


def _messages() -> None:
    op.create_table(
        "outbox",
        _row_id(),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("flip_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=100), nullable=False),
        sa.Column("recipient", sa.String(length=400), nullable=False),
        sa.Column("step", sa.Integer(), server_default="0", nullable=False),
        sa.Column("idem_key", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("uncertain", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("provider_id", sa.String(length=400), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["flip_id"], ["flip.id"], name="fk_outbox_flip_id"),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_outbox_incident_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("idem_key", name="uq_outbox_idem_key"),
    )
    op.create_index("ix_outbox_due", "outbox", ["status", "not_before_ms"], unique=False)
    op.create_index("ix_outbox_incident_id", "outbox", ["incident_id"], unique=False)
    op.create_table(
        "delivery_attempt",
        _row_id(),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_delivery_attempt_outbox_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempt"),
    )
    op.create_index("ix_delivery_attempt_outbox_id", "delivery_attempt", ["outbox_id"], unique=False)
    op.create_table(
        "channel_state",
        sa.Column("channel", sa.String(length=100), nullable=False),
        sa.Column("retry_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_sent_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("channel", name="pk_channel_state"),
    )
    op.create_table(
        "audit",
        _row_id(),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=400), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"], unique=False)


def _ledger() -> None:
    op.create_table(
        "span",
        _row_id(),
        sa.Column("check_id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("looks", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_span"),
    )
    op.create_index("ix_span_check", "span", ["check_id", "subject", "start_ms"], unique=False)
    op.create_index("ix_span_subject", "span", ["subject", "start_ms"], unique=False)
    op.create_table(
        "monitor_run",
        _row_id(),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=40), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_monitor_run"),
    )
    op.create_table(
        "maintenance",
        _row_id(),
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("approver", sa.String(length=100), nullable=False),
        sa.Column("approved_ms", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
    )
    op.create_index("ix_maintenance_subject", "maintenance", ["subject"], unique=False)
    op.create_table(
        "host",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("point_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("client", sa.String(length=200), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_host"),
    )


def _people() -> None:
    op.create_table(
        "user",
        _row_id(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("name", name="uq_user_name"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_session_user_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_session"),
    )
    op.create_index("ix_session_user_id", "session", ["user_id"], unique=False)
    op.create_table(
        "login",
        _row_id(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login"),
    )
    op.create_index("ix_login_name", "login", ["name", "at_ms"], unique=False)
