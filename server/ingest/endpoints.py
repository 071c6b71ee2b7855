"""Ingest: takes points over HTTP as InfluxDB does, so that agents, Telegraf, Glances and InfluxDB's clients write to it unchanged.

``POST /api/v2/write`` answers like InfluxDB 2 (a malformed line refuses the whole body), ``POST /write`` like InfluxDB 1 (the
good lines are written). 204 is sent only when the points survive a crash; the store gathers what comes in together into one
transaction. A host that joined has a token of its own: with it, points of other hosts are rejected (422), and a machine other than
the one that joined is refused (403), so that it keeps its points. The application must run with ``auto_decompress=False``: a body is
unpacked here, off the loop and within limits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from aiohttp import web

from alerts.tables import Database, StateAway
from collectors.linereader import UNITS
from collectors.point import Point
from collectors.points import HOST, Points
from server.edge.client_address import client_address
from server.enrolment.agents import Enrolled
from server.enrolment.fingerprints import Clones
from server.ingest.answers import Refused, as_v1, as_v2, dropped, partial, unable
from server.ingest.body import Bodies
from server.ingest.centre_series import CentreSeries
from server.ingest.last_seen import Seen
from server.ingest.newcomers import Newcomers
from server.ingest.options import Options
from server.ingest.tokens import Tokens
from server.ingest.writers import STRANGER, Writer, Writers, secret_of
from server.store import Rejected, StoreFull, StoreUnavailable
from server.store.buckets import Bucket, Buckets

_log: Final = logging.getLogger("pantau.ingest")
_V2_UNITS: Final = ("ns", "us", "ms", "s")
_V1_UNITS: Final = "use n, u, ms, s, m or h"
_SAVE_EVERY: Final = 5.0
_AWAY_RETRY: Final = 10  # seconds
_FULL_RETRY: Final = 60
_MANY_RETRY: Final = 300


class Ingest:
    """Answers writes. ``open`` before the first request, ``close`` after the last.

    ``clock`` is ms since epoch, ``steady`` steady time in ms; ``address`` returns where a request comes from; ``centre_series``
    are those that nobody else may write to the first bucket.
    """

    def __init__(
        self,
        buckets: Buckets,
        database: Database,
        clock: Callable[[], int],
        steady: Callable[[], int],
        options: Options,
        *,
        address: Callable[[web.Request], str] = client_address,
        centre_series: CentreSeries | None = None,
    ) -> None:
        self._buckets = buckets
        self._database = database
        self._clock = clock
        self._steady = steady
        self._options = options
        self._writers = Writers(options.tokens, database, clock, steady, address)
        self._centre_series = centre_series or CentreSeries()
        self._bodies = Bodies(options)
        self._seen = Seen(database, steady, options.hosts)
        self._newcomers = Newcomers(options.new_hosts)
        self._trouble: dict[str, str] = {}
        self._saving: asyncio.Task[None] | None = None
        self._started = clock()
        self._since = steady()
        self._version = ""

    @property
    def enrolled(self) -> Enrolled:
        """The hosts that joined."""
        return self._writers.enrolled

    @property
    def clones(self) -> Clones:
        """The machines that write under one name."""
        return self._writers.clones

    async def open(self) -> None:
        """Read when hosts were last seen, and begin to save it every few seconds."""
        self._version = await asyncio.to_thread(version, "pantau")
        await self._seen.load()
        await self._writers.open()
        self._saving = asyncio.create_task(self._keep_saving())

    def use(self, options: Options, tokens: Tokens | None, centre_series: CentreSeries) -> None:
        """Go by other settings for writes from now on; ``tokens`` None leaves them as they are."""
        self._options = options
        self._centre_series = centre_series
        self._bodies.use(options)
        self._seen.most = options.hosts
        self._newcomers.limit = options.new_hosts
        if tokens is not None:
            self._writers.use(tokens)

    async def close(self) -> None:
        """Save when hosts were last seen and stop."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
            with suppress(StateAway):
                await self.flush_seen()
        await self._bodies.close()

    def seen(self) -> Mapping[str, int]:
        """Return host -> when it last wrote (ms of steady time), also from before a restart."""
        return self._seen.last()

    def forget(self, host: str) -> None:
        """Hold a host no more; it is back with its next write."""
        self._seen.forget(host)

    async def flush_seen(self) -> None:
        """Save when hosts were last seen."""
        await self._seen.save()

    async def _keep_saving(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(_SAVE_EVERY)
            try:
                await self.flush_seen()
            except StateAway:
                continue
            except Exception:  # noqa: BLE001 - the map stays in memory; the next turn saves it
                if not failing:
                    _log.exception("cannot save when hosts were last seen")
                failing = True
            else:
                failing = False

    async def write_v2(self, request: web.Request) -> None:
        """Handle a write as InfluxDB 2 does, ``?org=&bucket=&precision=``; raises Refused."""
        with self._bodies.memory.request() as hold:
            writer = await self._writers.find(request)
            bucket = self._bucket(request.query, writer)
            why = f"invalid precision; valid precision units are {', '.join(_V2_UNITS[:-1])}, and {_V2_UNITS[-1]}"
            precision = _precision(request.query, _V2_UNITS, why)
            read = await self._bodies.read(request, precision, hold, self._now_ns())
            if read.errors:
                raise Refused(400, unable(read.errors), line=read.errors[0])
            if rejected := await self._keep(request, writer, bucket, read.points):
                raise Refused(422, f"failure writing points to database: {partial(rejected)}")

    async def write_v1(self, request: web.Request) -> None:
        """Handle a write as InfluxDB 1 does, ``?db=&precision=``, ``u`` and ``p`` (the token) where there is no header."""
        with self._bodies.memory.request() as hold:
            writer = await self._find_v1(request)
            bucket = self._bucket_of_v1(request.query, writer)
            asked = request.query.get("precision", "")
            precision = _precision(request.query, UNITS, f'invalid precision "{asked}" ({_V1_UNITS})')
            read = await self._bodies.read(request, precision, hold, self._now_ns())
            rejected = await self._keep(request, writer, bucket, read.points)
            if read.errors:
                why = unable(read.errors)
                raise Refused(400, f"partial write: {why} dropped={dropped(rejected)}" if read.points else why)
            if rejected:
                raise Refused(400, partial(rejected))

    async def _find_v1(self, request: web.Request) -> Writer:
        try:
            return await self._writers.find(request)
        except Refused as refused:
            if refused.why != STRANGER:
                raise
            given = bool(secret_of(request))
            why = "authorization failed" if given else "unable to parse authentication credentials"
            raise Refused(401, why) from refused

    async def ping(self, _request: web.Request) -> web.Response:
        """``GET /ping``: 204, as every InfluxDB answers."""
        return web.Response(status=204, headers={"X-Influxdb-Version": f"2.7.0-pantau.{self._version}"})

    async def health(self, _request: web.Request) -> web.Response:
        """``GET /health``: 200 when writes of the first bucket are taken, if only until its database is back, and looks are judged.

        Else 503. As InfluxDB's, it is asked by those who write. What ails the store is for the pages of those who log in.
        """
        main = next(iter(self._buckets))
        wrong = await main.store.health()
        takes = not wrong or await main.store.takes()
        message = "ready for queries and writes"
        if wrong:
            trouble = self._trouble.get(main.name, "is away")
            message = "the database is away, writes wait on disk" if takes else f"the store {trouble}"
        elif await main.store.damage():
            message += ", but some stored points are damaged"
        if self._database.away:
            message = f"the database of state is away, looks wait to be judged; points: {message if wrong else 'taken'}"
        well = takes and not self._database.away
        body: dict[str, object] = {
            "name": "pantau",
            "message": message,
            "status": "pass" if well else "fail",
            "checks": [],
            "version": self._version,
        }
        return web.json_response(body, status=200 if well else 503)

    async def ready(self, _request: web.Request) -> web.Response:
        """``GET /api/v2/ready`` and ``/ready``: since when we run."""
        started = datetime.fromtimestamp(self._started / 1000, UTC).isoformat()
        up = (self._steady() - self._since) / 1000
        return web.json_response({"status": "ready", "started": started, "up": f"{up}s"})

    def _now_ns(self) -> int:
        return self._clock() * 1_000_000

    def _bucket(self, query: Mapping[str, str], writer: Writer) -> Bucket:
        org, bucket = query.get("org") or query.get("orgID"), query.get("bucket", "")
        if not bucket:
            raise Refused(404, "bucket not found")
        if not org:
            raise Refused(400, "Please provide either orgID or org")
        if org != self._options.org:
            raise Refused(404, f'organization name "{org}" not found')
        found = self._buckets.find(bucket)
        if found is None:
            raise Refused(404, f'bucket "{bucket}" not found')
        if not self._may_write(writer, found):
            raise Refused(403, "insufficient permissions for write")
        return found

    def _bucket_of_v1(self, query: Mapping[str, str], writer: Writer) -> Bucket:
        name = query.get("db", "")
        if not name:
            raise Refused(400, "database is required")
        found = self._buckets.find(name)
        if found is None:
            raise Refused(404, f'database not found: "{name}"')
        if not self._may_write(writer, found):
            raise Refused(403, f'not authorized to write to database "{name}"')
        return found

    def _may_write(self, writer: Writer, bucket: Bucket) -> bool:
        """Return whether a writer may write to a bucket: hosts that joined to the first, where they are looked for."""
        only = self._options.bucket if writer.agent else writer.bucket
        return only in {"", bucket.name}

    async def _keep(self, request: web.Request, writer: Writer, bucket: Bucket, read: Points) -> Sequence[Rejected]:
        """Write points; returns what was rejected."""
        hosts = read.hosts()
        main = bucket.store is self._buckets.main
        points, foreign = self._writable(writer, read, hosts, main=main)
        if not points:
            return foreign
        if main:
            # a host that writes is alive, whether or not the store takes it: our own trouble must not make hosts look silent
            self._heard(request, writer, hosts)
        kept, rejected = _without_time(points)
        kept, old = self._buckets.admit(bucket, kept, self._now_ns())
        try:
            written = await bucket.store.write(kept)
        except StoreFull as error:
            self._note(bucket, "is full", error)
            raise Refused(507, "no space left on the store's disk, keep the points", retry=_FULL_RETRY) from error
        except StoreUnavailable as error:
            self._note(bucket, "is away", error)
            raise Refused(503, "the store is away, keep the points and try again", retry=_AWAY_RETRY) from error
        if self._trouble.pop(bucket.name, ""):
            _log.info("the store of bucket %s takes points again", bucket.name)
        return [*foreign, *rejected, *old, *written.rejected]

    def _writable(
        self, writer: Writer, read: Points, hosts: dict[str, int], *, main: bool
    ) -> tuple[Sequence[Point], list[Rejected]]:
        """Split points into those that this writer may write and the rest; ``hosts`` keeps the hosts of the first ones."""
        points, new = self._without_newcomers(writer, read, hosts) if main else (read, [])
        points, foreign = self._writers.allowed(writer, points, hosts)
        points, forged = self._centre_series.without(points, joined=writer.agent is not None) if main else (points, [])
        return points, [*new, *foreign, *forged]

    def _heard(self, request: web.Request, writer: Writer, hosts: Mapping[str, int]) -> None:
        client = request.headers.get("User-Agent", "")
        joined = writer.agent is not None
        if writer.agent is not None:
            hosts = {writer.agent.host: hosts[writer.agent.host]}
        self._seen.note(hosts, at=self._clock(), address=writer.address, client=client, joined=joined)

    def _without_newcomers(
        self, writer: Writer, points: Sequence[Point], hosts: dict[str, int]
    ) -> tuple[Sequence[Point], list[Rejected]]:
        """Leave points, and ``hosts``, of new hosts out where they are too many of one token; Refused when nothing is left."""
        strangers = set() if writer.agent is not None else self._seen.strangers(hosts)
        if not strangers:
            return points, []
        beyond, first = self._newcomers.beyond(writer.owner, strangers, self._steady())
        if not beyond:
            return points, []
        why = f"token {writer.owner!r} brought {self._options.new_hosts} new hosts within an hour"
        if first:
            _log.warning("%s; no more are taken now: %r from %s", why, min(beyond), writer.address)
        for name in beyond:
            del hosts[name]
        kept = [point for point in points if point.tags.get(HOST, "") not in beyond]
        if not kept:
            raise Refused(429, f"{why}, keep the points of {min(beyond)!r} and try again", retry=_MANY_RETRY)
        return kept, [
            Rejected(point.measurement, "", f'max-values-per-tag limit exceeded for tag "{HOST}": {why}')
            for point in points
            if point.tags.get(HOST, "") in beyond
        ]

    def _note(self, bucket: Bucket, trouble: str, error: StoreUnavailable) -> None:
        if trouble != self._trouble.get(bucket.name):
            told = "the store of bucket %s %s (%s); clients are asked to keep their points"
            _log.warning(told, bucket.name, trouble, error)
        self._trouble[bucket.name] = trouble


def routes(ingest: Ingest) -> list[web.RouteDef]:
    """Return the addresses that clients of InfluxDB use."""
    return [
        web.post("/api/v2/write", _answering(ingest.write_v2, as_v2)),
        web.post("/write", _answering(ingest.write_v1, as_v1)),
        web.get("/ping", ingest.ping),
        web.get("/health", ingest.health),
        web.get("/api/v2/ready", ingest.ready),
        web.get("/ready", ingest.ready),
    ]


def _answering(
    take: Callable[[web.Request], Awaitable[None]], explain: Callable[[Refused], web.Response]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Turn a function that takes a write or raises Refused into a handler."""

    async def handle(request: web.Request) -> web.Response:
        try:
            await take(request)
        except Refused as refused:
            return explain(refused)
        return web.Response(status=204)

    return handle


def _precision(query: Mapping[str, str], known: Collection[str], why: str) -> str:
    precision = query.get("precision") or "ns"
    if precision not in known:
        raise Refused(400, why)
    return precision


def _without_time(points: Sequence[Point]) -> tuple[Sequence[Point], list[Rejected]]:
    """Leave out fields named ``time``, which InfluxDB cannot have either; a point that had no other is rejected."""
    # no row of a block has such a field
    others = [point for _, point in points.others] if isinstance(points, Points) else points
    if not any("time" in point.fields for point in others):
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
