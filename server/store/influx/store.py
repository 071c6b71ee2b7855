"""A store in InfluxDB: written by line protocol through influxdb-client, read by InfluxQL.

InfluxDB 1, 2 and 3 are read and written; VictoriaMetrics takes points by the same protocol, but cannot be read here.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from time import time_ns
from typing import Any, Final

import msgspec

from collectors.lineprotocol import encode
from collectors.point import Point, Value
from server.store import (
    RATES,
    Deletion,
    Found,
    Latest,
    Range,
    Rejected,
    Series,
    Spender,
    StoreUnavailable,
    Written,
)
from server.store.influx import answers, flux, ql, rates
from server.store.influx.connection import Connection, Dialect, Options
from server.store.kinds import conflict, kind_of, require_suited
from server.store.sql import Sql

_POINTS: Final = 5000
# what the deletions of InfluxDB 2 take
_OLDEST, _NEWEST = -(2**63) + 2, 2**63 - 2
_FIXED_TYPE: Final = re.compile(r"already exists as type (\w+)")
_TOO_OLD: Final = re.compile(r"points (?:beyond|outside) retention policy.*dropped=(\d+)", re.DOTALL)


class Influx:
    """Points in an InfluxDB. Implements ``Store``; ``folder`` is not used, ``clock`` is ns since epoch."""

    def __init__(self, options: Options, folder: Path, clock: Callable[[], int] = time_ns) -> None:  # noqa: ARG002 - all stores are built alike
        self._options = options
        self._clock = clock
        self._server = Connection(options)
        self._roll_ups = False

    async def open(self) -> None:
        """Make the database (InfluxDB 1), and check that it can be written and read."""
        if (await self._server.spoken()).databases:
            await self._server.ask([f"CREATE DATABASE {ql.name(self._options.bucket)}"])
        refused = await self._server.post(b"")
        if refused:
            raise StoreUnavailable(f"{self._server.url}: {refused}")
        await self.measurements()

    async def damage(self) -> str:
        """Return "": whether its own files are sound is for the database to say."""
        return ""

    async def takes(self) -> bool:
        """Return whether a write would be kept now."""
        return not await self.health()

    def newest(self) -> None:
        """Return None: the database knows."""
        return

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()

    async def health(self) -> str:
        """Return "" when the database can be written and read now, else why not."""
        try:
            await self.open()
        except StoreUnavailable as error:
            return str(error)
        return ""

    # --- writing -----------------------------------------------------------------------------------------------------

    async def write(self, points: Sequence[Point], policy: str = "") -> Written:
        """Write points, to another retention policy than the usual one when it is named.

        A field that the database refuses is left out and its point written again without it.
        """
        fixed: dict[tuple[str, str], str] = {}
        rejected: dict[Rejected, None] = {}
        written = 0
        for start in range(0, len(points), _POINTS):
            written += await self._deliver(points[start : start + _POINTS], policy, fixed, rejected)
        return Written(written, tuple(rejected))

    async def _deliver(
        self, points: Sequence[Point], policy: str, fixed: dict[tuple[str, str], str], rejected: dict[Rejected, None]
    ) -> int:
        """Write points in one request, or as many as its refusals need; add to ``fixed`` and ``rejected``, return how many went in."""
        dialect = await self._server.spoken()
        while True:
            points = self._fitting(points, fixed, rejected, dialect)
            refused = await self._server.post(
                await asyncio.to_thread(encode, points, unsigned=dialect.unsigned), policy
            )
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
        return sum([await self._deliver(half, policy, fixed, rejected) for half in (points[:middle], points[middle:])])

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

    # --- reading -----------------------------------------------------------------------------------------------------

    async def latest(
        self, measurement: str, fields: Sequence[str], *, since: int, where: Mapping[str, str] | None = None
    ) -> list[Latest]:
        """Return the newest values; sorted by tags. See ``Store.latest``."""
        source = self._source(measurement)
        asked = list(dict.fromkeys(fields))
        bounds = since, self._clock() + self._options.future_tolerance.ms * 1_000_000
        known, *newest = await self._server.ask(
            [ql.fields(source), *(ql.latest(source, field, bounds, where or {}) for field in asked)]
        )
        kinds = answers.kinds(known)
        found: dict[tuple[tuple[str, str], ...], tuple[dict[str, Value], list[int]]] = {}
        for field, answer in zip(asked, newest, strict=True):
            for rows in answer:
                tags = tuple((tag, value) for tag, value in sorted(rows.tags.items()) if value)
                values, times = found.setdefault(tags, ({}, []))
                for time, value in rows.values:
                    values[field] = answers.typed(value, kinds[field])
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
        older = await self._older(query)
        if query.aggregate in RATES:
            raw = await self._server.ask(ql.rates(source, query, kind))
            rolled = await self._server.ask([ql.rolled_rates(older)]) if older else [None]
            groups: dict[tuple[str, ...], dict[int, Any]] = rates.over_time(query, raw, rolled[0])
        else:
            now, *rolled = await self._server.ask(
                [ql.over_time(source, query), *(ql.rolled_over_time(older) if older else ())]
            )
            groups = answers.merged(now, query.by)
            if rolled:
                groups = answers.whole(groups, [answers.merged(one, query.by) for one in rolled], query.step)
        return [
            Series(dict(zip(query.by, label, strict=True)), list(values), [float(value) for value in values.values()])
            for label, values in sorted(groups.items())
            if values
        ]

    async def _older(self, query: Range) -> Range | None:
        """Return the part of a question that roll-ups answer: of what is older than raw values are kept, where there are any."""
        if not self._options.raw:
            return None
        width = max(query.step, ql.HOUR)
        kept_from = self._clock() - self._options.raw.ms * 1_000_000
        end = min(query.end, kept_from - kept_from % width)
        start = max(query.start - query.start % ql.HOUR, _OLDEST)
        if start >= end or not await self.has_roll_ups():
            return None
        return msgspec.structs.replace(query, start=start, end=end)

    async def has_roll_ups(self) -> bool:
        """Return whether ``pantau store init`` made a place for roll-ups."""
        if not self._roll_ups:
            (answer,) = await self._server.ask([ql.policies(self._options.bucket)])
            self._roll_ups = any(row[0] == ql.ROLLED for rows in answer for row in rows.values)
        return self._roll_ups

    async def measurements(self) -> list[str]:
        """Name every measurement, sorted."""
        (answer,) = await self._server.ask(["SHOW MEASUREMENTS"])
        return sorted(row[0] for rows in answer for row in rows.values)

    async def fields(self, measurement: str) -> dict[str, str]:
        """Name every field of a measurement with its type."""
        (answer,) = await self._server.ask([ql.fields(self._source(measurement))])
        return dict(sorted(answers.kinds(answer).items()))

    async def tag_values(self, measurement: str, tag: str, *, where: Mapping[str, str] | None = None) -> list[str]:
        """Return every value of a tag, sorted."""
        (answer,) = await self._server.ask([ql.tag_values(self._source(measurement), tag, where or {})])
        return sorted({row[1] for rows in answer for row in rows.values})

    async def cardinality(self) -> list[Spender]:
        """Return which measurements have how many series; the greatest first. The server names every series for it."""
        (answer,) = await self._server.ask(["SHOW SERIES"])
        return await asyncio.to_thread(answers.spenders, answer)

    async def counts(self, policy: str, start: int, end: int) -> dict[tuple[str, str], int]:
        """Count the values of ``[start, end)`` by measurement and field, in a retention policy ("": the usual one)."""
        (answer,) = await self._server.ask([ql.count(policy or self._options.policy, start, end)])
        return answers.counted(answer)

    async def backup(self, folder: Path) -> bool:  # noqa: ARG002 - nothing of it is ours
        """Do nothing: the database has its own tools."""
        return False

    async def drop_before(self, time: int) -> None:
        """Delete points older than ``time`` (ns), beside whatever the retention of the bucket deletes."""
        await self._server.ask([f"DELETE WHERE time < {time}"])

    async def find(self, deletion: Deletion) -> Found:
        """Return what a deletion would take: values as they came, and those that are rolled up where they are gone."""
        raw = await self._server.ask(ql.find(self._source(deletion.measurement), deletion))
        whole = Range(deletion.measurement, "", max(deletion.start, _OLDEST), min(deletion.end, _NEWEST), ql.HOUR)
        older = await self._older(whole)
        if older is None:
            return answers.found([raw])
        rolled = msgspec.structs.replace(deletion, start=max(older.start, deletion.start), end=older.end)
        place = ql.source(deletion.measurement, ql.ROLLED)
        return answers.found([await self._server.ask(ql.find(place, rolled, rolled=True)), raw])

    async def delete(self, deletion: Deletion) -> None:
        """Delete points, in the place of roll-ups too."""
        if (await self._server.spoken()).databases:
            await self._server.ask([ql.delete_some(deletion)])
            return
        body = {
            "start": flux.moment(max(deletion.start, _OLDEST)),
            "stop": flux.moment(min(deletion.end - 1, _NEWEST)),  # which goes too
            "predicate": flux.predicate(deletion.measurement, deletion.where),
        }
        bucket = self._options.bucket
        places = [f"{bucket}/{self._options.policy}" if self._options.policy else bucket]
        if await self.has_roll_ups():
            places.append(f"{bucket}/{ql.ROLLED}")
        for where in places:
            path = f"/api/v2/delete?{flux.query(org=self._options.org, bucket=where)}"
            status, answer = await self._server.manage("POST", path, body)
            if status != HTTPStatus.NO_CONTENT:
                raise StoreUnavailable(f"{self._server.url}: {answer.get('message', status)}")

    def _source(self, measurement: str) -> Sql:
        return ql.source(measurement, self._options.policy)


def _conflicting(refused: str, points: Iterable[Point]) -> tuple[str, str] | None:
    """Find the field that a refusal names; its quotes do not tell where a name ends, so names are looked for, not read."""
    for pair in dict.fromkeys((point.measurement, name) for point in points for name in point.fields):
        # InfluxDB 1 writes names as they are, 2 with escapes
        for measurement, name in (pair, [ql.name(one)[1:-1] for one in pair]):
            if f'input field "{name}" on measurement "{measurement}" is type' in refused:
                return pair
    return None
