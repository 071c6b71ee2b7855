"""Tokens of those who may write: read from their places, compared in constant time, changed without a restart."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec

from configs.secret import Secret, SecretUnreadable
from server.state.token_hash import token_hash

_log: Final = logging.getLogger("pantau.ingest")
_FRESH: Final = 5000  # ms that a token read from its place is believed
_PATIENT: Final = 1000  # ms after which an unknown token makes us look again
_BYTES: Final = 32


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One who may write, and nothing else: the name that logs show, and where the token is kept or its SHA-256 (``pantau token``).

    ``bucket`` is the only one that it may write to; without it, any.
    """

    name: str
    token: Secret | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""
    bucket: str = ""

    def __post_init__(self) -> None:
        """Refuse a token that is there twice or not at all."""
        if (self.token is None) == (not self.sha256):
            raise ValueError(f"the token of {self.name!r} needs either 'token' or 'sha256'")


class Tokens:
    """Knows whom a token belongs to. ``clock`` is steady time in ms. Building reads nothing."""

    def __init__(self, tokens: Sequence[Token], clock: Callable[[], int]) -> None:
        self._tokens = {token.name: token for token in tokens}
        self._clock = clock
        self._digests: dict[str, str] = {}
        self._read_at: int | None = None
        self._unreadable: dict[str, str] = {}
        self._reading = asyncio.Lock()

    async def find(self, secret: str) -> Token | None:
        """Return whose token it is, None when nobody's."""
        await self._refresh(_FRESH)
        found = self._find(secret)
        if found is None:
            await self._refresh(_PATIENT)
            found = self._find(secret)
        return None if found is None else self._tokens[found]

    def _find(self, secret: str) -> str | None:
        given = token_hash(secret)
        found = None
        # no early end: how long it takes must not tell which one was nearly right
        for name, known in self._digests.items():
            if hmac.compare_digest(given, known):
                found = name
        return found

    async def _refresh(self, age: int) -> None:
        async with self._reading:
            if self._read_at is not None and self._clock() - self._read_at < age:
                return
            self._digests, wrong = await asyncio.to_thread(self._read)
            self._read_at = self._clock()
        for name, why in wrong.items():
            if self._unreadable.get(name) != why:
                _log.warning("nobody can write as %s: %s", name, why)
        for name in self._unreadable.keys() - wrong.keys():
            _log.info("%s can write again", name)
        self._unreadable = wrong

    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        digests, wrong = {}, {}
        for one in self._tokens.values():
            try:
                digests[one.name] = token_hash(one.token.reveal()) if one.token else one.sha256
            except SecretUnreadable as error:
                wrong[one.name] = str(error)
        return digests, wrong


def new() -> str:
    """Make a token that nobody can guess, so that a plain SHA-256 of it is enough."""
    return secrets.token_urlsafe(_BYTES)
