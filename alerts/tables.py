"""Tables of what is believed and of who was told. Times are milliseconds since the Unix epoch, UTC; texts in JSON are UTF-8.

``server.state`` adds its own tables to the same MetaData and owns the migrations.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    func,
    or_,
    text,
)

T = TypeVar("T")


class StateAway(Exception):
    """The database of state cannot be reached, or takes nothing, for now: what was asked of it may be asked again later."""


class Database(Protocol):
    """Where work on the tables is run: off the event loop, each call one transaction that commits unless the work raises.

    Both raise StateAway.
    """

    @property
    def away(self) -> str:
        """Why nothing can be written just now; "" when all is well."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` alone (one writer at a time) and commit."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` beside writers; it sees one consistent state and must not write."""
        ...


def within(column: ColumnElement[str], subject: str) -> ColumnElement[bool]:
    """Return the SQL condition that ``column`` names a subject or one of its parts (``host/srv-1``, ``host/srv-1/path=/var``)."""
    prefix = f"{subject}/"
    return or_(column == subject, func.substr(column, 1, len(prefix)) == prefix)


def _big_id() -> Column[Any]:
    # SQLite numbers rows itself only for a column of exactly INTEGER
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# What we believe of a subject, by one check: the hard status, a change that waits for confirmation, and the last look.
state: Final = Table(
    "state",
    metadata,
    Column("check_id", String(200), primary_key=True),
    Column("subject", String(400), primary_key=True),
    Column("status", String(10), nullable=False),  # hard: up, degraded, down, unknown
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("since_ms", BigInteger, nullable=False),  # onset of the hard status
    Column("pending_status", String(10)),  # a change not confirmed yet
    Column("pending_reason", String(40)),
    Column("pending_since_ms", BigInteger),  # its first look
    Column("pending_count", Integer, nullable=False, server_default="0"),
    Column("blind_since_ms", BigInteger),  # looks say UNKNOWN since then; DEGRADED and DOWN stay
    Column("last_at_ms", BigInteger, nullable=False),
    Column("last_status", String(10), nullable=False),
    Column("last_reason", String(40), nullable=False),
    Column("last_detail", Text, nullable=False, server_default=""),
    Column("last_took_ms", BigInteger),
    Column("last_phases", Text, nullable=False, server_default="{}"),  # JSON: name -> seconds
    Column("last_facts", Text, nullable=False, server_default="{}"),  # JSON
    Column("last_up_ms", BigInteger),  # last good look
    # of the change that waits: its newest look, and the time that was observed between its looks
    Column("pending_last_ms", BigInteger),
    Column("pending_held_ms", BigInteger, nullable=False, server_default="0"),
    # the same of looks that say UNKNOWN; whether it is for so long that this is believed
    Column("blind", Boolean, nullable=False, server_default=false()),
    Column("blind_count", Integer, nullable=False, server_default="0"),
    Column("blind_last_ms", BigInteger),
    Column("blind_held_ms", BigInteger, nullable=False, server_default="0"),
    Column("recent", Text, nullable=False, server_default="[]"),  # JSON: alerts.recent.Recent
    Column("flapping_since_ms", BigInteger),
)

# From the flip away from UP to the flip back. Identity: (check_id, subject), at most one open.
incident: Final = Table(
    "incident",
    metadata,
    _big_id(),
    Column("check_id", String(200), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("status", String(10), nullable=False),  # degraded | down: now, or last when closed
    Column("severity", String(10), nullable=False),  # critical | high | medium | low
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("opened_ms", BigInteger, nullable=False),  # onset: the first failed look
    Column("confirmed_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),  # the first good look
    Column("close_reason", String(40)),  # recovered | retired
    Column("acked_ms", BigInteger),
    Column("acked_by", String(100)),
    Column("ack_note", Text),
    Index(
        "ix_incident_open",
        "check_id",
        "subject",
        unique=True,
        sqlite_where=text("closed_ms IS NULL"),
        postgresql_where=text("closed_ms IS NULL"),
    ),
    Index("ix_incident_opened", "opened_ms"),
    Index("ix_incident_subject", "subject", "opened_ms"),
)

# A change of hard status; append-only.
flip: Final = Table(
    "flip",
    metadata,
    _big_id(),
    Column("incident_id", BigInteger, ForeignKey("incident.id"), index=True),
    Column("check_id", String(200), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("from_status", String(10), nullable=False),
    Column("to_status", String(10), nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # onset
    Column("confirmed_ms", BigInteger, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Index("ix_flip_subject", "subject", "at_ms"),
)

# One message owed to one recipient on one channel. Facts, not text: rendered at send time.
outbox: Final = Table(
    "outbox",
    metadata,
    _big_id(),
    Column("incident_id", BigInteger, ForeignKey("incident.id"), index=True),
    Column("flip_id", BigInteger, ForeignKey("flip.id")),
    Column("kind", String(20), nullable=False),  # problem | recovery | brief | reminder | test
    Column("channel", String(100), nullable=False),
    Column("recipient", String(400), nullable=False),
    Column("step", Integer, nullable=False, server_default="0"),
    Column("idem_key", String(64), nullable=False, unique=True),  # sha256(incident|flip|kind|channel|recipient|step)
    Column("payload", Text, nullable=False),  # JSON
    Column("status", String(12), nullable=False),  # queued | leased | sent | dead | superseded | suppressed
    Column("not_before_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("uncertain", Integer, nullable=False, server_default="0"),  # attempts whose answer was lost
    Column("lease_until_ms", BigInteger),
    Column("lease_owner", String(64)),
    Column("provider_id", String(400)),
    Column("last_error", Text),  # redacted
    Column("created_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Index("ix_outbox_due", "status", "not_before_ms"),
)

# Every try to send, append-only.
delivery_attempt: Final = Table(
    "delivery_attempt",
    metadata,
    _big_id(),
    Column("outbox_id", BigInteger, ForeignKey("outbox.id"), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("took_ms", BigInteger, nullable=False),
    Column("outcome", String(12), nullable=False),  # delivered | transient | uncertain | permanent
    Column("detail", Text, nullable=False, server_default=""),  # redacted
)

# A channel that was stopped for a while (Retry-After, circuit breaker).
channel_state: Final = Table(
    "channel_state",
    metadata,
    Column("channel", String(100), primary_key=True),
    Column("retry_at_ms", BigInteger),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("last_sent_ms", BigInteger),
)

# Who did what; append-only.
audit: Final = Table(
    "audit",
    metadata,
    _big_id(),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(100), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(400), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default="{}"),  # JSON
)
