"""Result: what one look at one subject showed; everything that can go wrong reaches the judge in this shape."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Final

import msgspec

from collectors.point import Point, Value

MEASUREMENT: Final = "pantau_check"


class Status(StrEnum):
    """What a look showed. UNKNOWN means that nobody could tell; it is neither up nor down."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a look showed what it showed: the layer that failed. ``alerts.i18n`` tells each in plain words."""

    OK = "ok"
    NAME_NOT_FOUND = "name_not_found"  # DNS has no such name
    RESOLVER_FAILED = "resolver_failed"  # DNS did not answer, or refused
    UNREACHABLE = "unreachable"  # no route, no reply to connect or ping
    REFUSED = "refused"  # the host lives, nothing listens
    TIMEOUT = "timeout"  # connected, then no answer in time
    CONNECTION_LOST = "connection_lost"  # reset or closed in the middle
    TLS_EXPIRED = "tls_expired"
    TLS_EXPIRING = "tls_expiring"
    TLS_NAME = "tls_name"  # certificate is for another name
    TLS_UNTRUSTED = "tls_untrusted"  # self-signed, unknown issuer, chain incomplete
    TLS_FAILED = "tls_failed"  # handshake failed otherwise
    BLOCKED = "blocked"  # 401, 403, 429 or a firewall's page where a visitor should get in
    HTTP_STATUS = "http_status"  # another status than expected
    HTTP_ERROR = "http_error"  # 5xx: the application failed
    CONTENT = "content"  # answered, but not what it should say
    PROTOCOL = "protocol"  # answered something that is not the protocol
    SLOW = "slow"
    LOSS = "loss"  # some packets lost
    DNS_ANSWER = "dns_answer"  # answered, but not the expected records
    THRESHOLD = "threshold"  # a rule over stored numbers was broken
    SILENT = "silent"  # expected data do not come
    NO_DATA = "no_data"  # a series is gone while its host still writes
    UNSTABLE = "unstable"  # looks fail again and again, but never enough in a row
    SNMP_SILENT = "snmp_silent"  # the device does not answer SNMP
    SNMP_AUTH = "snmp_auth"  # wrong user, key or community
    CLONE = "clone"  # two machines write under one name
    STORE_UNREADABLE = "store_unreadable"  # the database of points cannot be read
    NO_BACKUP = "no_backup"  # backups of the centre have stopped
    STATE_AWAY = "state_away"  # the database of state cannot be written
    LATE = "late"  # the schedule cannot look as often as it should
    BUG = "bug"  # Pantau itself failed; never held against the subject


class Result(msgspec.Struct, frozen=True):
    """What one run of one check (or rule) showed of one subject.

    ``check`` is the stable id of the check or rule, ``subject`` is ``kind/id`` with an optional part
    (``service/simpus``, ``device/sw-12``, ``host/srv-1/path=/var``); together they are the identity of a state and of its incident.
    ``at`` is the start of the look in milliseconds since the Unix epoch, UTC; ``took`` and ``phases`` are seconds;
    ``detail`` is one technical line for the sysadmin; ``facts`` are further findings (status code, address, days left).
    """

    check: str
    subject: str
    status: Status
    reason: Reason
    at: int
    detail: str = ""
    took: float | None = None
    phases: Mapping[str, float] = {}
    facts: Mapping[str, str | int | float | bool] = {}


def storable(result: Result) -> Result:
    """Return a result that every database takes, whatever a stranger sent: text without NUL and lone surrogates, finite numbers."""
    texts = (result.check, result.subject, result.detail)
    if _plain(texts) and _plain(result.facts.values()) and _plain(result.phases.values()):
        return result
    check, subject, detail = map(_text, texts)
    return msgspec.structs.replace(
        result,
        check=check,
        subject=subject,
        detail=detail,
        facts={_text(name): _text(v) if isinstance(v, str) else v for name, v in result.facts.items() if _finite(v)},
        phases={name: seconds for name, seconds in result.phases.items() if isfinite(seconds)},
    )


def _plain(values: Iterable[str | float]) -> bool:
    for value in values:
        if isinstance(value, str):
            if not value.isascii() or "\0" in value:
                return False
        elif not isfinite(value):
            return False
    return True


def _finite(value: str | float) -> bool:
    return isinstance(value, str) or isfinite(value)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def to_point(result: Result, kind: str) -> Point:
    """Write a Result as a Point, for charts: measurement ``pantau_check``, tags check, subject, type (``kind``).

    Fields: ``up`` (1 for up or degraded, 0 for down, absent when unknown), ``status`` and ``reason`` as text, ``took`` and
    ``phase_NAME`` in seconds.
    """
    fields: dict[str, Value] = {"status": result.status.value, "reason": result.reason.value}
    if result.status is not Status.UNKNOWN:
        fields["up"] = int(result.status is not Status.DOWN)
    if result.took is not None:
        fields["took"] = result.took
    fields |= {f"phase_{name}": seconds for name, seconds in result.phases.items()}
    tags = {"check": result.check, "subject": result.subject, "type": kind}
    return Point(MEASUREMENT, tags, fields, result.at * 1_000_000)
