"""Ingest: takes points over HTTP as InfluxDB does, so that agents, Telegraf, Glances and InfluxDB's clients write to it unchanged.

``POST /api/v2/write`` answers like InfluxDB 2 (a malformed line refuses the whole body), ``POST /write`` like InfluxDB 1 (the
good lines are written). 204 is sent only when the points survive a crash; the store gathers what comes in together into one
transaction. A host that joined has a token of its own: with it, points of other hosts are rejected (422), and a machine other than
the one that joined is refused (403), so that it keeps its points. The application must run with ``auto_decompress=False``: a body is
unpacked here, off the loop and within limits.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import msgspec
from aiohttp import web

from alerts.tables import Database
from collectors.lineprotocol import UNITS, Decoded, LineError, decode
from collectors.point import Point
from configs.units import Duration, Size
from server.clones import HEADER, Clones, fingerprint
from server.enrolled import Enrolled
from server.enrolment import AGENT_TOKEN, Agent
from server.seen import Seen
from server.store import Rejected, Store, StoreUnavailable
from server.tokens import Token, Tokens

_log: Final = logging.getLogger("pantau.ingest")
_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    408: "request timeout",
    413: "request too large",
    422: "unprocessable entity",
    429: "too many requests",
    503: "unavailable",
}
_V2_UNITS: Final = ("ns", "us", "ms", "s")
_SMALL: Final = 4096  # bytes that are read faster than a thread is woken
_SAVE_EVERY: Final = 5.0
_BUSY_RETRY: Final = 2  # seconds
_AWAY_RETRY: Final = 10
_SHOWN_LINES: Final = 10
_SHOWN_TEXT: Final = 200


_MEMBERS: Final = 100  # of one gzip body; clients send one


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[ingest]``.

    ``org`` and ``bucket`` are what clients must name (``bucket`` is the database of ``/write``). ``tokens`` may write for any host;
    hosts that joined (``pantau enrol``) have tokens of their own. ``body`` limits a request as it is sent, ``unpacked`` its text,
    ``lines`` its lines, ``patience`` how long its body may take; ``held`` is the text of all requests that are being worked on:
    beyond it they are asked to come later.
    """

    org: str = "pantau"
    bucket: str = "pantau"
    tokens: tuple[Token, ...] = ()
    body: Size = Size(10_000_000)
    unpacked: Size = Size(25_000_000)
    lines: int = 250_000
    held: Size = Size(50_000_000)
    patience: Duration = Duration(60)


class Refused(Exception):
    """A write that is not taken, or not whole: HTTP status, why, seconds to wait, and the first bad line."""

    def __init__(self, status: int, why: str, *, retry: int | None = None, line: LineError | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry = retry
        self.line = line


class Writer(msgspec.Struct, frozen=True):
    """Who sends a write: from where, by which fingerprint, and the host that joined with this token, if one did."""

    address: str
    machine: str
    agent: Agent | None = None


class Ingest:
    """Takes writes. ``clock`` is ms since epoch; ``open`` before the first request, ``close`` after the last."""

    def __init__(self, store: Store, database: Database, clock: Callable[[], int], options: Options) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._tokens = Tokens(options.tokens, clock)
        self.enrolled = Enrolled(database, clock)
        self.clones = Clones()
        self._seen = Seen(database)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        self._held = 0
        self._away = False
        self._saving: asyncio.Task[None] | None = None
        self._started = clock()
        self._version = ""

    async def open(self) -> None:
        """Read when hosts were last seen, and begin to save it every few seconds."""
        self._version = await asyncio.to_thread(version, "pantau")
        await self._seen.load()
        await self._tokens.owner("")  # says at once whose token cannot be read
        self._saving = asyncio.create_task(self._keep_saving())

    async def close(self) -> None:
        """Save when hosts were last seen and stop."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
            await self.flush_seen()
        await asyncio.to_thread(self._threads.shutdown)

    def seen(self) -> Mapping[str, int]:
        """Return host -> when it last wrote (ms, by the centre's clock), also from before a restart."""
        return self._seen.last()

    async def flush_seen(self) -> None:
        """Save when hosts were last seen."""
        await self._seen.save()

    async def _keep_saving(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(_SAVE_EVERY)
            try:
                await self.flush_seen()
            except Exception:  # noqa: BLE001 - the map stays in memory; the next turn saves it
                if not failing:
                    _log.exception("cannot save when hosts were last seen")
                failing = True
            else:
                failing = False

    async def write_v2(self, request: web.Request) -> None:
        """Take a write as InfluxDB 2 does, ``?org=&bucket=&precision=``; raises Refused."""
        with self._holding() as hold:
            writer = await self._authorize(request)
            self._check_bucket(request.query)
            read = await self._read(request, _precision(request.query, _V2_UNITS), hold)
            if read.errors:
                raise Refused(400, _unable(read.errors), line=read.errors[0])
            if rejected := await self._keep(request, writer, read.points):
                raise Refused(422, f"failure writing points to database: {_partial(rejected)}")

    async def write_v1(self, request: web.Request) -> None:
        """Take a write as InfluxDB 1 does, ``?db=&precision=``, ``u`` and ``p`` (the token) where there is no header."""
        with self._holding() as hold:
            writer = await self._authorize(request)
            self._check_database(request.query)
            read = await self._read(request, _precision(request.query, UNITS), hold)
            rejected = await self._keep(request, writer, read.points)
            if read.errors:
                why = _unable(read.errors)
                raise Refused(400, f"partial write: {why} dropped={len(rejected)}" if read.points else why)
            if rejected:
                raise Refused(400, _partial(rejected))

    async def ping(self, _request: web.Request) -> web.Response:
        """``GET /ping``: 204, as every InfluxDB answers."""
        return web.Response(status=204, headers={"X-Influxdb-Version": f"2.7.0-pantau.{self._version}"})

    async def health(self, _request: web.Request) -> web.Response:
        """``GET /health``: 200 when the store works, else 503; why not is for the pages of those who log in."""
        away = bool(await self._store.health())
        body: dict[str, object] = {
            "name": "pantau",
            "message": "the store is away" if away else "ready for queries and writes",
            "status": "fail" if away else "pass",
            "checks": [],
            "version": self._version,
        }
        return web.json_response(body, status=503 if away else 200)

    async def ready(self, _request: web.Request) -> web.Response:
        """``GET /api/v2/ready`` and ``/ready``: since when we run."""
        started = datetime.fromtimestamp(self._started / 1000, UTC).isoformat()
        up = (self._clock() - self._started) / 1000
        return web.json_response({"status": "ready", "started": started, "up": f"{up}s"})

    async def _authorize(self, request: web.Request) -> Writer:
        secret = _secret(request)
        address, machine = request.remote or "", fingerprint(request.headers.get(HEADER, ""))
        if secret.startswith(AGENT_TOKEN):
            agent = await self.enrolled.find(secret)
            if agent is not None:
                await self._admit(agent, machine, address)
                return Writer(address, machine, agent)
        elif secret and await self._tokens.owner(secret) is not None:
            return Writer(address, machine)
        raise Refused(401, "unauthorized access")

    async def _admit(self, agent: Agent, machine: str, address: str) -> None:
        """Let only the machine that joined write with its token."""
        if not self.clones.admit(agent.host, machine, at=self._clock(), address=address, bound=agent.machine):
            await self.enrolled.claim(agent, machine, address)
            raise Refused(
                403, f"this token belongs to another machine, which joined as {agent.host}; see pantau-agent doctor"
            )

    def _admit_hosts(self, writer: Writer, points: Sequence[Point]) -> None:
        """Refuse a machine that writes, by a token that many share, under a name that another one has."""
        for host in {point.tags.get("host", "") for point in points} - {""}:
            if not self.clones.admit(host, writer.machine, at=self._clock(), address=writer.address):
                raise Refused(403, f"another machine writes as {host}; see pantau-agent doctor")

    def _check_bucket(self, query: Mapping[str, str]) -> None:
        org = query.get("org") or query.get("orgID")
        if not org:
            raise Refused(400, "Please provide either orgID or org")
        if org != self._options.org:
            raise Refused(404, f'organization name "{org}" not found')
        bucket = query.get("bucket", "")
        if bucket != self._options.bucket:
            raise Refused(404, f'bucket "{bucket}" not found' if bucket else "bucket not found")

    def _check_database(self, query: Mapping[str, str]) -> None:
        name = query.get("db", "")
        if not name:
            raise Refused(400, "database is required")
        if name != self._options.bucket:
            raise Refused(404, f'database not found: "{name}"')

    @contextlib.contextmanager
    def _holding(self) -> Iterator[Callable[[int], None]]:
        """Give a function that books memory for one request; all of it is given back at the end of the block."""
        booked = 0

        def hold(size: int) -> None:
            nonlocal booked
            if self._held > booked and self._held + size > self._options.held:
                raise Refused(429, "too many writes at once", retry=_BUSY_RETRY)
            booked += size
            self._held += size

        try:
            yield hold
        finally:
            self._held -= booked

    async def _read(self, request: web.Request, precision: str, hold: Callable[[int], None]) -> Decoded:
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"identity", "gzip"}:
            raise Refused(400, f"unsupported content encoding {encoding!r}")
        body = await self._body(request, hold)
        now = self._clock() * 1_000_000
        if encoding == "identity" and len(body) <= _SMALL:
            return _decode(body, precision, now, self._options.lines)
        loop = asyncio.get_running_loop()
        if encoding == "gzip":
            body = await loop.run_in_executor(self._threads, _unpack, body, self._options.unpacked)
            hold(len(body))
        return await loop.run_in_executor(self._threads, _decode, body, precision, now, self._options.lines)

    async def _body(self, request: web.Request, hold: Callable[[int], None]) -> bytes:
        limit = self._options.body
        if (request.content_length or 0) > limit:
            raise Refused(413, f"the body is larger than {limit} bytes")
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._options.patience):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        raise Refused(413, f"the body is larger than {limit} bytes")
                    hold(len(part))
                    parts.append(part)
        except TimeoutError as error:
            raise Refused(408, f"the body did not come within {self._options.patience:.0f} s") from error
        return b"".join(parts)

    async def _keep(self, request: web.Request, writer: Writer, points: Sequence[Point]) -> Sequence[Rejected]:
        """Write points; returns what was rejected."""
        if writer.agent is not None:
            points, foreign = _of_host(points, writer.agent.host)
        else:
            foreign = []
            if writer.machine:
                self._admit_hosts(writer, points)
        if not points:
            return foreign
        # a host that writes is alive, whether or not the store takes it: our own trouble must not make hosts look silent
        client = request.headers.get("User-Agent", "")
        self._seen.note(points, at=self._clock(), address=writer.address, client=client)
        kept, rejected = _without_time(points)
        try:
            written = await self._store.write(kept)
        except StoreUnavailable as error:
            if not self._away:
                _log.warning("the store is away (%s); clients are asked to keep their points", error)
            self._away = True
            raise Refused(503, "the store is away, keep the points and try again", retry=_AWAY_RETRY) from error
        if self._away:
            _log.info("the store takes points again")
        self._away = False
        return [*foreign, *rejected, *written.rejected]


def routes(ingest: Ingest) -> list[web.RouteDef]:
    """Return the addresses that clients of InfluxDB use."""
    return [
        web.post("/api/v2/write", _answering(ingest.write_v2, _as_v2)),
        web.post("/write", _answering(ingest.write_v1, _as_v1)),
        web.get("/ping", ingest.ping),
        web.get("/health", ingest.health),
        web.get("/api/v2/ready", ingest.ready),
        web.get("/ready", ingest.ready),
    ]


def _answering(
    take: Callable[[web.Request], Awaitable[None]], explain: Callable[[Refused], Mapping[str, str | int]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Turn a function that takes a write or raises Refused into a handler."""

    async def handle(request: web.Request) -> web.Response:
        try:
            await take(request)
        except Refused as refused:
            headers = {} if refused.retry is None else {"Retry-After": str(refused.retry)}
            return web.json_response(explain(refused), status=refused.status, headers=headers)
        return web.Response(status=204)

    return handle


def _as_v2(refused: Refused) -> Mapping[str, str | int]:
    body: dict[str, str | int] = {"code": _CODES[refused.status], "message": refused.why}
    if refused.line is not None:
        body |= {"line": refused.line.line, "column": refused.line.column}
    return body


def _as_v1(refused: Refused) -> Mapping[str, str | int]:
    return {"error": refused.why}


def _precision(query: Mapping[str, str], known: Collection[str]) -> str:
    precision = query.get("precision") or "ns"
    if precision not in known:
        units = list(known)
        raise Refused(400, f"invalid precision; valid precision units are {', '.join(units[:-1])}, and {units[-1]}")
    return precision


def _secret(request: web.Request) -> str:
    """Find the token: ``Token X``, ``Bearer X``, the password of Basic, or the parameter ``p``."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "token" | "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return request.query.get("p", "") if request.path == "/write" else ""


def _unpack(body: bytes, limit: int) -> bytes:
    """Unpack gzip, of one or several members, up to ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    while body:
        if len(parts) == _MEMBERS:  # each copies what follows it: without a bound a small body would cost minutes
            raise Refused(400, f"the gzip body has more than {_MEMBERS} members")
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise Refused(400, "the body is not gzip") from error
        size += len(part)
        if size > limit:
            raise Refused(413, f"the body is larger than {limit} bytes when unpacked")
        if not member.eof:
            raise Refused(400, "the gzip body is cut off")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)


def _decode(body: bytes, precision: str, now: int, limit: int) -> Decoded:
    if body.count(b"\n") > limit:
        raise Refused(413, f"the body has more than {limit} lines")
    return decode(body, precision=precision, now=now)


def _of_host(points: Sequence[Point], host: str) -> tuple[Sequence[Point], list[Rejected]]:
    """Split points into those of a host and the rest, which its token must not write."""
    kept, foreign = [], []
    for point in points:
        name = point.tags.get("host", "")
        if name == host:
            kept.append(point)
        else:
            of = f"host {name!r}" if name else "no host"
            foreign.append(
                Rejected(point.measurement, "", f"this token writes points of host {host!r} only, not of {of}")
            )
    return kept, foreign


def _without_time(points: Sequence[Point]) -> tuple[Sequence[Point], list[Rejected]]:
    """Leave out fields named ``time``, which InfluxDB cannot have either; a point that had no other is rejected."""
    if not any("time" in point.fields for point in points):
        return points, []
    kept, rejected = [], []
    for point in points:
        fields = {name: value for name, value in point.fields.items() if name != "time"}
        if fields:
            kept.append(Point(point.measurement, point.tags, fields, point.time))
        else:
            why = f'invalid field name: input field "time" on measurement "{point.measurement}" is invalid'
            rejected.append(Rejected(point.measurement, "time", why))
    return kept, rejected


def _unable(errors: Sequence[LineError]) -> str:
    lines = [
        f"unable to parse '{error.text[:_SHOWN_TEXT]}': {error.why[:_SHOWN_TEXT]}" for error in errors[:_SHOWN_LINES]
    ]
    more = len(errors) - len(lines)
    return "\n".join(lines + [f"and {more} more"] * (more > 0))


def _partial(rejected: Sequence[Rejected]) -> str:
    reasons = list(dict.fromkeys(one.why for one in rejected))[:_SHOWN_LINES]
    return f"partial write: {'; '.join(reasons)} dropped={len(rejected)}"
