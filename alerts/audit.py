"""Audit: who did what; append-only."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, insert

from alerts import tables


def note(
    tx: Connection,
    *,
    at: int,
    actor: str,
    action: str,
    subject: str = "",
    detail: Mapping[str, str | int | float | bool | None] | None = None,
) -> None:
    """Add one row; ``at`` is ms since epoch, ``actor`` a user's name or "pantau" itself."""
    text = msgspec.json.encode(detail or {}).decode()
    tx.execute(insert(tables.audit).values(at_ms=at, actor=actor, action=action, subject=subject, detail=text))
