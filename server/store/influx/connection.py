"""The connection to an InfluxDB: which version it is, writes by influxdb-client, InfluxQL, and the management API of version 2."""

import asyncio
import gzip
import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NamedTuple

import aiohttp
import msgspec
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException

from configs.redact import Veil
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration
from server.store import FUTURE_TOLERANCE, StoreUnavailable
from server.store.influx import answers
from server.store.trouble import Trouble

_REFUSED: Final = frozenset({400, 413, 422})


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of an InfluxDB.

    ``bucket`` is the database on InfluxDB 1, where it is made when it is missing; ``policy`` is its retention policy ("" for
    the default one). ``raw`` is how long values are kept as they came where ``pantau store init`` makes the bucket; what is older is read
    from roll-ups of an hour. ``token`` belongs to InfluxDB 2 and 3, ``user`` and ``password`` to 1. ``version`` "1" writes to
    ``/write``, "2" to ``/api/v2/write``, "auto" asks the server. Points later than now and ``future_tolerance`` are refused, and are no
    newest values where they are there already.
    """

    url: str
    bucket: str = "pantau"
    org: str = ""
    policy: str = ""
    token: Secret | None = None
    user: str = ""
    password: Secret | None = None
    version: Literal["auto", "1", "2"] = "auto"
    timeout: Duration = Duration(10.0)
    raw: Duration = Duration(30 * 86400)
    future_tolerance: Duration = FUTURE_TOLERANCE


class Dialect(NamedTuple):
    """What versions do differently: the path of writes, whether InfluxQL makes databases, whether unsigned integers exist."""

    path: str
    databases: bool
    unsigned: bool


ONE: Final = Dialect("/write", databases=True, unsigned=False)
ONE_EIGHT: Final = Dialect("/api/v2/write", databases=True, unsigned=False)
TWO: Final = Dialect("/api/v2/write", databases=False, unsigned=True)


class Connection:
    """Speaks to one InfluxDB. Building it touches no network; every call may raise StoreUnavailable."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.url = options.url.rstrip("/")
        self._trouble = Trouble(f"the store at {self.url}")
        self._veil = Veil()  # a proxy or a stranger at this address may send back what it was sent
        self._dialect: Dialect | None = None
        self._client: InfluxDBClientAsync | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
        if self._session is not None:
            await self._session.close()
        self._client = self._session = None

    async def post(self, lines: bytes, policy: str = "") -> str:
        """Write lines; return "" or why the server refuses what is in them. StoreUnavailable for all else."""
        options, dialect = self.options, await self.spoken()
        policy = policy or options.policy
        target = [("db", options.bucket), ("rp", policy)]
        if dialect.path != ONE.path:
            bucket = f"{options.bucket}/{policy}" if policy else options.bucket
            target = [("org", options.org), ("bucket", bucket)]
        if self._client is None:
            self._client = InfluxDBClientAsync(self.url, token="", timeout=options.timeout.ms)
        try:
            await self._client.api_client.call_api(  # type: ignore[no-untyped-call]
                dialect.path,
                "POST",
                query_params=[*((key, value) for key, value in target if value), ("precision", "ns")],
                header_params={
                    **await self._authorization(),
                    "Content-Encoding": "gzip",
                    "Content-Type": "text/plain; charset=utf-8",
                },
                body=await asyncio.to_thread(gzip.compress, lines, 1),
            )
        except ApiException as error:
            why = self._reason(error.body) or self._veil.over(str(error.reason))
            if error.status in _REFUSED:
                self._trouble.note("")
                return why
            raise self._away(f"HTTP {error.status}: {why}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(_what(error)) from None
        self._trouble.note("")
        return ""

    async def ask(self, statements: Sequence[str]) -> list[list[answers.Rows]]:
        """Put statements in one request; return the tables of each. StoreUnavailable also when one of them fails."""
        session = self._connected()
        # in chunks, or an InfluxDB 1 with a limit of rows would cut the answer short
        form = {"db": self.options.bucket, "q": ";".join(statements), "epoch": "ns", "chunked": "true"}
        try:
            async with session.post(f"{self.url}/query", data=form, headers=await self._authorization()) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(_what(error)) from None
        if status != 200:  # noqa: PLR2004 - OK
            raise self._away(f"HTTP {status}: {self._reason(body)}")
        try:
            tables = await asyncio.to_thread(answers.tables, body, len(statements))
        except (ValueError, msgspec.DecodeError) as error:
            raise self._away(str(error)) from None
        self._trouble.note("")
        return tables

    async def manage(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the management API of InfluxDB 2; return the status and the JSON of the answer."""
        headers = await self._authorization()
        try:
            async with self._connected().request(method, self.url + path, json=body, headers=headers) as response:
                text = await response.read()
                return response.status, msgspec.json.decode(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(_what(error)) from None
        except msgspec.DecodeError as error:
            raise self._away(f"{path}: the answer is no JSON") from error

    async def greet(self) -> tuple[str, datetime | None]:
        """Return the version that ``/ping`` tells ("" for VictoriaMetrics), and what time it is there."""
        try:
            async with self._connected().get(f"{self.url}/ping") as response:
                told = response.headers.get("Date", "")
                return response.headers.get("X-Influxdb-Version", ""), parsedate_to_datetime(told) if told else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._away(_what(error)) from None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=float(self.options.timeout)))
        return self._session

    async def spoken(self) -> Dialect:
        """Find out which version answers; asked until it is known."""
        if self._dialect is None and self.options.version != "auto":
            self._dialect = ONE if self.options.version == "1" else TWO
        if self._dialect is None:
            self._dialect = _dialect((await self.greet())[0])
        return self._dialect

    async def _authorization(self) -> dict[str, str]:
        options = self.options
        try:
            if options.token is not None:
                token = await asyncio.to_thread(options.token.reveal)
                self._veil.add([token])
                return {"Authorization": f"Token {token}"}
            if options.password is not None:
                password = await asyncio.to_thread(options.password.reveal)
                self._veil.add([password, f"{options.user}:{password}"])
                return {"Authorization": f"Basic {b64encode(f'{options.user}:{password}'.encode()).decode()}"}
        except SecretUnreadable as error:
            raise self._away(str(error)) from error
        return {}

    def _reason(self, body: Any) -> str:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
        return answers.reason(self._veil.over(text))

    def _away(self, why: str) -> StoreUnavailable:
        why = self._veil.over(why)
        self._trouble.note(why)
        return StoreUnavailable(f"{self.url}: {why}")


def _dialect(version: str) -> Dialect:
    """Return the dialect of a version as ``/ping`` gives it, e.g. ``1.6.7~rc0`` or ``v2.7.12``; none is given by VictoriaMetrics."""
    one = re.match(r"v?1\.(\d+)", version)
    if one is None:
        return TWO
    return ONE_EIGHT if int(one[1]) >= 8 else ONE  # noqa: PLR2004 - 1.8 was the first with /api/v2/write


def _what(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
