"""SNMP by gufo-snmp, whose core is in Rust; the one place that imports it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    DesKey,
    KeyExpansion,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpError,
    SnmpVersion,
    User,
)
from gufo.snmp.aio import SnmpSession

from collectors.snmp.session import Credentials, Denied, Garbled, Hindered, Options, Silent, Value, Walked

T = TypeVar("T")

_AUTH: Final = {
    "MD5": Md5Key,
    "SHA": Sha1Key,
    "SHA224": Sha224Key,
    "SHA256": Sha256Key,
    "SHA384": Sha384Key,
    "SHA512": Sha512Key,
}
_PRIV: Final = {"DES": DesKey, "AES": Aes128Key, "AES192": Aes192Key, "AES256": Aes256Key}
_REPETITIONS: Final = 24  # rows asked for at once; more does not fit into one packet of 1,500 bytes
_LESS: Final = 4  # a device that chokes on 24 rows is asked for 6, then for 1


class GufoSession:
    """Implements ``session.Session``. gufo closes its socket when the session is forgotten.

    gufo 0.13 ignores the error status of an answer, does not look whether a walk moves on, and reads at most 4 KiB of a packet;
    ``walk`` makes up for it, and ends after ``most_rows``.
    """

    def __init__(self, options: Options, address: str, credentials: Credentials, *, most_rows: int = 20_000) -> None:
        self._most_rows = most_rows
        self._tries = options.retries + 1
        self._encrypted = options.priv is not None
        self._repetitions = _REPETITIONS
        self._empty: set[str] = set()
        try:
            self._session = SnmpSession(
                address,
                options.port,
                community=credentials.community,
                user=_user(options, credentials) if options.version == "3" else None,
                version=SnmpVersion.v3 if options.version == "3" else SnmpVersion.v2c,
                timeout=options.timeout,
            )
        except OSError as error:
            raise Hindered(f"cannot open a socket: {error}") from error

    async def open(self) -> None:
        """See ``session.Session``."""
        try:
            await self._ask(self._session.refresh)
        except Silent:
            # a refresh learns the engine's id in the clear before it sends the first encrypted request
            if self._encrypted and self._session.get_engine_id():
                why = "it tells its engine id but does not answer encrypted requests: wrong privacy key or protocol"
                raise Denied(why) from None
            raise

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """See ``session.Session``."""
        found = await self._ask(lambda: self._session.get_many(oids))
        return {oid: value for oid, value in found.items() if value is not None}

    async def walk(self, column: str) -> Walked:
        """See ``session.Session``. Asks for less at once, from then on, when nothing sensible comes of it."""
        while True:
            try:
                walked = await self._walk(column)
            except (Garbled, Silent):
                # a large answer may be lost in fragments, be more than the engine reads, or be too much for the device
                if self._repetitions == 1:
                    raise
            else:
                if walked.rows or self._repetitions == 1 or not await self._hidden(column):
                    return walked
            self._repetitions = self._repetitions // _LESS or 1

    async def _walk(self, column: str) -> Walked:
        rows: dict[str, Value] = {}
        last: tuple[int, ...] = ()
        answers: AsyncIterator[tuple[str, Any]] = self._session.getbulk(column, self._repetitions)
        while len(rows) < self._most_rows:
            try:
                index, value = await self._following(answers, column)
            except StopAsyncIteration:
                return Walked(rows)
            here = tuple(int(part) for part in index.split(".") if part)
            if here <= last:
                break  # it goes round in circles, or repeats the question because of an error
            last = here
            if value is not None:
                rows[index] = value
        return Walked(rows, whole=False)

    async def _hidden(self, column: str) -> bool:
        """Return whether a column that came back empty has a row after all: an agent that fails to answer in bulk may send nothing."""
        if column in self._empty:
            return False
        try:
            index, _ = await self._following(self._session.getnext(column), column)
        except StopAsyncIteration:
            self._empty.add(column)
            return False
        return bool(index)

    async def _following(self, answers: AsyncIterator[tuple[str, Any]], column: str) -> tuple[str, Any]:
        oid, value = await self._ask(answers.__anext__)
        return oid[len(column) + 1 :], value

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        garbled = ""
        for _ in range(self._tries):
            try:
                return await request()
            except TimeoutError:
                continue
            except SnmpAuthError as error:
                raise Denied("wrong user or key, or the user may not ask so") from error
            except (SnmpError, ValueError, RuntimeError) as error:
                garbled = str(error)
            except OSError as error:
                raise Hindered(f"cannot send: {error}") from error
        raise Garbled(f"not understood: {garbled}") if garbled else Silent(f"no answer, asked {self._tries} times")


def _user(options: Options, credentials: Credentials) -> User:
    auth = _AUTH[options.auth](credentials.auth_key.encode()) if options.auth else None
    priv = _PRIV[options.priv.rstrip("C")](credentials.priv_key.encode()) if options.priv else None
    cisco = options.priv is not None and options.priv.endswith("C")
    expansion = KeyExpansion.Cisco if cisco else KeyExpansion.Blumenthal
    return User(options.user, auth_key=auth, priv_key=priv, key_expansion=expansion)
