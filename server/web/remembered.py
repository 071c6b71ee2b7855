"""Sessions as they were read last, so that those who are logged in still see something while the database of state is away."""

from typing import Final

from server.web.sessions import Session

_BELIEVED: Final = 300_000  # ms: somebody who was shut out a moment before the outage sees no more than that longer
_MOST: Final = 1_000


class Remembered:
    """Sessions by the SHA-256 of their token; those read longest ago go first."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Session, int]] = {}

    def note(self, token_hash: str, stay: Session | None, now: int) -> None:
        """Note what the database says of a token; ``now`` is ms since epoch."""
        self._read.pop(token_hash, None)
        if stay is None:
            return
        self._read[token_hash] = (stay, now)
        if len(self._read) > _MOST:
            del self._read[next(iter(self._read))]

    def find(self, token_hash: str, now: int) -> Session | None:
        """Return a session that was there some minutes ago at most."""
        stay, at = self._read.get(token_hash, (None, now))
        return stay if 0 <= now - at < _BELIEVED else None
