"""A store in InfluxDB: written by line protocol through influxdb-client, read by InfluxQL.

InfluxDB 1, 2 and 3 are read and written; VictoriaMetrics takes points by the same protocol, but cannot be read here.
"""

import asyncio
import gzip
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import aiohttp
import msgspec
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException

from collectors.lineprotocol import encode
from collectors.point import Point, Value
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration
from server.store import (
    Aggregate,
    Latest,
    Range,
    Rejected,
    Series,
    Spender,
    StoreUnavailable,
    Written,
    influx_answers,
    influx_ql,
)
from server.store.kinds import conflict, kind_of, require_suited
from server.store.trouble import Trouble

_POINTS: Final = 5000
_REFUSED: Final = frozenset({400, 413, 422})
_FIXED_TYPE: Final = re.compile(r"already exists as type (\w+)")
_TOO_OLD: Final = re.compile(r"points beyond retention policy dropped=(\d+)")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of an InfluxDB.

    ``bucket`` is the database on InfluxDB 1, where it is made when it is missing; ``policy`` is its retention policy ("" for
    the default one). ``token`` belongs to InfluxDB 2 and 3, ``user`` and ``password`` to 1. ``version`` "1" writes to
    ``/write``, "2" to ``/api/v2/write``, "auto" asks the server.
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


class Dialect(NamedTuple):
    """What versions do differently: the path of writes, whether InfluxQL makes databases, whether unsigned integers exist."""

    path: str
    databases: bool
    unsigned: bool


_ONE: Final = Dialect("/write", databases=True, unsigned=False)
_ONE_EIGHT: Final = Dialect("/api/v2/write", databases=True, unsigned=False)
_TWO: Final = Dialect("/api/v2/write", databases=False, unsigned=True)


class Influx:
    """Points in an InfluxDB. Implements ``Store``; ``folder`` is not used."""

    def __init__(self, options: Options, folder: Path) -> None:  # noqa: ARG002 - all stores are built alike
        self._options = options
        self._url = options.url.rstrip("/")
        self._trouble = Trouble(f"the store at {self._url}")
        self._dialect: Dialect | None = None
        self._client: InfluxDBClientAsync | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the database (InfluxDB 1), and check that it can be written and read."""
        if (await self._spoken()).databases:
            await self._ask([f"CREATE DATABASE {influx_ql.name(self._options.bucket)}"])
        refused = await self._post(b"")
        if refused:
            raise StoreUnavailable(f"{self._url}: {refused}")
        await self.measurements()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
        if self._session is not None:
            await self._session.close()
        self._client = self._session = None

    async def health(self) -> str:
        """Return "" when the database can be written and read now, else why not."""
        try:
            await self.open()
        except StoreUnavailable as error:
            return str(error)
        return ""

    # --- writing -----------------------------------------------------------------------------------------------------

    async def write(self, points: Sequence[Point]) -> Written:
        """Write points. A field that the database refuses is left out and its point written again without it."""
        fixed: dict[tuple[str, str], str] = {}
        rejected: dict[Rejected, None] = {}
        written = 0
        for start in range(0, len(points), _POINTS):
            written += await self._deliver(points[start : start + _POINTS], fixed, rejected)
        return Written(written, tuple(rejected))

    async def _deliver(
        self, points: Sequence[Point], fixed: dict[tuple[str, str], str], rejected: dict[Rejected, None]
    ) -> int:
        """Write points in one request, or as many as its refusals need; add to ``fixed`` and ``rejected``, return how many went in."""
        dialect = await self._spoken()
        while True:
            points = self._fitting(points, fixed, rejected, dialect)
            refused = await self._post(await asyncio.to_thread(encode, points, unsigned=dialect.unsigned))
            if not refused:
                return len(points)
            field = _conflicting(refused, points)
            kind = _FIXED_TYPE.search(refused)
            if field is None or kind is None or field in fixed:
                break
            # InfluxDB drops the whole point; without this field it will take the rest
            fixed[field] = kind[1]
        if too_old := _TOO_OLD.search(refused):
            rejected[Rejected("", "", refused)] = None
            return len(points) - int(too_old[1])
        if len(points) == 1:
            rejected.update((Rejected(points[0].measurement, name, refused), None) for name in points[0].fields)
            return 0
        middle = len(points) // 2
        return sum([await self._deliver(half, fixed, rejected) for half in (points[:middle], points[middle:])])

    def _fitting(
        self,
        points: Sequence[Point],
        fixed: Mapping[tuple[str, str], str],
        rejected: dict[Rejected, None],
        dialect: Dialect,
    ) -> Sequence[Point]:
        """Leave out the fields whose type is fixed otherwise."""
        if not fixed:
            return points
        kept = []
        for point in points:
            fields = {}
            for name, value in point.fields.items():
                kind = kind_of(name, value)
                if kind == "unsigned" and not dialect.unsigned:
                    kind = "integer"
                wanted = fixed.get((point.measurement, name), kind)
                if wanted == kind:
                    fields[name] = value
                else:
                    rejected[conflict(point.measurement, name, kind, wanted)] = None
            if fields:
                kept.append(
                    point if len(fields) == len(point.fields) else msgspec.structs.replace(point, fields=fields)
                )
        return kept

    async def _post(self, lines: bytes) -> str:
        """Write lines; return "" or why the server refuses what is in them. StoreUnavailable for all else."""
        options, dialect = self._options, await self._spoken()
        target = [("db", options.bucket), ("rp", options.policy)]
        if dialect.path != _ONE.path:
            bucket = f"{options.bucket}/{options.policy}" if options.policy else options.bucket
            target = [("org", options.org), ("bucket", bucket)]
        if self._client is None:
            self._client = InfluxDBClientAsync(self._url, token="", timeout=options.timeout.ms)
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
            why = influx_answers.reason(error.body) or str(error.reason)
            if error.status in _REFUSED:
                self._trouble.note("")
                return why
            raise self._away(f"HTTP {error.status}: {why}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(_what(error)) from error
        self._trouble.note("")
        return ""

    # --- reading -----------------------------------------------------------------------------------------------------

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> list[Latest]:
        """Return the newest values; sorted by tags. See ``Store.latest``."""
        source = self._source(measurement)
        asked = list(dict.fromkeys(fields))
        known, *answers = await self._ask(
            [influx_ql.fields(source), *(influx_ql.latest(source, field, since, where or {}) for field in asked)]
        )
        kinds = influx_answers.kinds(known)
        found: dict[tuple[tuple[str, str], ...], tuple[dict[str, Value], list[int]]] = {}
        for field, answer in zip(asked, answers, strict=True):
            for rows in answer:
                tags = tuple((tag, value) for tag, value in sorted(rows.tags.items()) if value)
                values, times = found.setdefault(tags, ({}, []))
                for time, value in rows.values:
                    values[field] = influx_answers.typed(value, kinds[field])
                    times.append(time)
        return [Latest(dict(tags), values, max(times)) for tags, (values, times) in sorted(found.items())]

    async def range(self, query: Range) -> list[Series]:
        """Answer a question over time. ValueError when the aggregate has no meaning for the field's type."""
        source = self._source(query.measurement)
        # the types first, in a request of their own: an aggregate that does not suit them is an error to the server
        kind = (await self.fields(query.measurement)).get(query.field)
        if kind is None:
            return []
        require_suited(query, kind)
        (answer,) = await self._ask([influx_ql.over_time(source, query)])
        groups = (
            influx_answers.rates(answer, query)
            if query.aggregate is Aggregate.RATE
            else influx_answers.merged(answer, query.by)
        )
        return [
            Series(dict(zip(query.by, label, strict=True)), list(values), [float(value) for value in values.values()])
            for label, values in sorted(groups.items())
        ]

    async def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        (answer,) = await self._ask(["SHOW MEASUREMENTS"])
        return sorted(row[0] for rows in answer for row in rows.values)

    async def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type."""
        (answer,) = await self._ask([influx_ql.fields(self._source(measurement))])
        return dict(sorted(influx_answers.kinds(answer).items()))

    async def tag_values(self, measurement: str, tag: str, *, where: Mapping[str, str] | None = None) -> list[str]:
        """Return every value of a tag, sorted."""
        (answer,) = await self._ask([influx_ql.tag_values(self._source(measurement), tag, where or {})])
        return sorted({row[1] for rows in answer for row in rows.values})

    async def cardinality(self) -> list[Spender]:
        """Tell which measurements have how many series; the greatest first. The server names every series for it."""
        (answer,) = await self._ask(["SHOW SERIES"])
        return await asyncio.to_thread(influx_answers.spenders, answer)

    async def backup(self, folder: Path) -> bool:  # noqa: ARG002 - nothing of it is ours
        """Do nothing: the database has its own tools."""
        return False

    async def drop_before(self, time: int) -> None:
        """Delete points older than ``time`` (ns), beside whatever the retention of the bucket deletes."""
        await self._ask([f"DELETE WHERE time < {time}"])

    def _source(self, measurement: str) -> str:
        return influx_ql.source(measurement, self._options.policy)

    async def _ask(self, statements: Sequence[str]) -> list[list[influx_answers.Rows]]:
        """Put statements in one request; return the tables of each. StoreUnavailable also when one of them fails."""
        session = self._connected()
        # in chunks, or an InfluxDB 1 with a limit of rows would cut the answer short
        form = {"db": self._options.bucket, "q": ";".join(statements), "epoch": "ns", "chunked": "true"}
        try:
            async with session.post(f"{self._url}/query", data=form, headers=await self._authorization()) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(_what(error)) from error
        if status != 200:  # noqa: PLR2004 - OK
            raise self._away(f"HTTP {status}: {influx_answers.reason(body)}")
        try:
            tables = await asyncio.to_thread(influx_answers.tables, body, len(statements))
        except (ValueError, msgspec.DecodeError) as error:
            raise self._away(str(error)) from error
        self._trouble.note("")
        return tables

    # --- the server --------------------------------------------------------------------------------------------------

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=float(self._options.timeout)))
        return self._session

    async def _spoken(self) -> Dialect:
        """Find out which version answers; asked until it is known."""
        if self._dialect is None and self._options.version != "auto":
            self._dialect = _ONE if self._options.version == "1" else _TWO
        if self._dialect is None:
            try:
                async with self._connected().get(f"{self._url}/ping") as response:
                    version = response.headers.get("X-Influxdb-Version", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._away(_what(error)) from error
            self._dialect = _dialect(version)
        return self._dialect

    async def _authorization(self) -> dict[str, str]:
        options = self._options
        try:
            if options.token is not None:
                return {"Authorization": f"Token {await asyncio.to_thread(options.token.reveal)}"}
            if options.password is not None:
                password = await asyncio.to_thread(options.password.reveal)
                return {"Authorization": f"Basic {b64encode(f'{options.user}:{password}'.encode()).decode()}"}
        except SecretUnreadable as error:
            raise self._away(str(error)) from error
        return {}

    def _away(self, why: str) -> StoreUnavailable:
        self._trouble.note(why)
        return StoreUnavailable(f"{self._url}: {why}")


def _dialect(version: str) -> Dialect:
    """Tell the dialect of a version as ``/ping`` gives it, e.g. ``1.6.7~rc0`` or ``v2.7.12``; none is given by VictoriaMetrics."""
    one = re.match(r"v?1\.(\d+)", version)
    if one is None:
        return _TWO
    return _ONE_EIGHT if int(one[1]) >= 8 else _ONE  # noqa: PLR2004 - 1.8 was the first with /api/v2/write


def _conflicting(refused: str, points: Iterable[Point]) -> tuple[str, str] | None:
    """Find the field that a refusal names; its quotes do not tell where a name ends, so names are looked for, not read."""
    for pair in dict.fromkeys((point.measurement, name) for point in points for name in point.fields):
        # InfluxDB 1 writes names as they are, 2 with escapes
        for measurement, name in (pair, [influx_ql.name(one)[1:-1] for one in pair]):
            if f'input field "{name}" on measurement "{measurement}" is type' in refused:
                return pair
    return None


def _what(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
