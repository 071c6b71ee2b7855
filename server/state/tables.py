"""Tables of the centre: the ledger of spans, the monitor's own running time, maintenance, hosts, enrolment, users and sessions.

Times are milliseconds since the Unix epoch, UTC.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from alerts.tables import metadata

__all__ = [
    "enrolled",
    "host",
    "invitation",
    "login",
    "maintenance",
    "metadata",
    "monitor_run",
    "session",
    "span",
    "user",
]

_ROW_ID: Final = BigInteger().with_variant(Integer, "sqlite")

# A stretch in one state as one check saw it, run-length stored. What lies in no span was not observed.
span: Final = Table(
    "span",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("check_id", String(200), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("status", String(10), nullable=False),  # up | degraded | down | unknown
    Column("reason", String(40), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),  # the last look that said so
    Column("end_ms", BigInteger, nullable=False),  # until when that look vouches: last + interval, or the next look
    Column("counts", Boolean, nullable=False, default=True),  # whether the check speaks for availability
    Column("looks", Integer, nullable=False, server_default="1"),
    Index("ix_span_subject", "subject", "start_ms"),
    Index("ix_span_check", "check_id", "subject", "start_ms"),
)

# When the centre itself ran. Outside of these stretches everything is unobserved.
monitor_run: Final = Table(
    "monitor_run",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("start_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),  # last sign of life
    Column("version", String(40), nullable=False, server_default=""),
    # by what the wall clock was ahead of steady time then
    Column("ahead_ms", BigInteger, nullable=False, server_default="0"),
    # for how long nobody observed before it, and why; less than 0 when the clock was set back
    Column("gap_ms", BigInteger, nullable=False, server_default="0"),
    Column("cause", String(40), nullable=False, server_default=""),
)

# Planned work; counts as maintenance only where it was approved before it started.
maintenance: Final = Table(
    "maintenance",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("subject", String(400), nullable=False, index=True),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", String(100), nullable=False),
    Column("approver", String(100), nullable=False),
    Column("approved_ms", BigInteger, nullable=False),
    Column("cancelled_ms", BigInteger),
)

# Hosts that wrote points, by the centre's own clock.
host: Final = Table(
    "host",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("first_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),  # last write received
    Column("point_ms", BigInteger, nullable=False),  # newest time stamp among its points
    Column("address", String(64), nullable=False, server_default=""),
    Column("client", String(200), nullable=False, server_default=""),  # User-Agent
)

# One-time tokens that `pantau-agent join` hands in; only their hashes are kept.
invitation: Final = Table(
    "invitation",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256
    Column("author", String(100), nullable=False),
    Column("hosts_left", Integer, nullable=False),  # how many may still join with it
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("host", String(255)),  # the only host that may join with it, also from another machine than before
)

# Hosts that joined, each with a token of its own that writes nothing but that host's points.
enrolled: Final = Table(
    "enrolled",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("host", String(255), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256
    Column("machine", String(255), nullable=False),  # the fingerprint that the token belongs to
    Column("address", String(64), nullable=False, server_default=""),
    Column("invitation_id", BigInteger, ForeignKey("invitation.id"), nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    # the machine that was refused last because its fingerprint is another one
    Column("claimant", String(255)),
    Column("claimed_ms", BigInteger),
    Column("claimed_from", String(64)),
    Index(
        "ix_enrolled_host",
        "host",
        unique=True,
        sqlite_where=text("revoked_ms IS NULL"),
        postgresql_where=text("revoked_ms IS NULL"),
    ),
)

user: Final = Table(
    "user",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("password", Text, nullable=False),  # argon2id, with its parameters
    Column("role", String(20), nullable=False),  # viewer | operator | evaluator | admin
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
)

session: Final = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("user_id", BigInteger, ForeignKey("user.id"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

# Failed logins, to slow down guessing.
login: Final = Table(
    "login",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("address", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_login_name", "name", "at_ms"),
)
