"""What an InfluxDB needs before points come: the bucket or database, how long values are kept, roll-ups of an hour; and whether it works.

InfluxDB 1 gets retention policies and a continuous query, InfluxDB 2 buckets and a task. Roll-ups are made of whole days a week late, so
that values which waited on an agent or in a spool are in them; until then, and as long as raw values are kept, those are read.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from alerts.i18n.shorten import shortened
from collectors.point import Point
from configs.units import Duration
from server.store import StoreUnavailable
from server.store.influx import flux, ql
from server.store.influx.connection import Connection, Options
from server.store.influx.store import Influx

Level = Literal["well", "done", "note", "bad"]

_DAY: Final = 86400
_RAW_MIN: Final = 4 * _DAY
_CLOCK: Final = 5.0  # seconds; /ping tells whole ones
_PROBE: Final = "pantau_check"
_FOUND: Final = 200


class Step(msgspec.Struct, frozen=True):
    """One thing that was looked at or done; ``what`` is a key of the words, ``values`` go into them."""

    level: Level
    what: str
    values: Mapping[str, str | int | float] = {}


class Setup:
    """Makes and examines what Pantau keeps in an InfluxDB; ``retention`` is how long roll-ups stay, ``clock`` is ns since epoch.

    Points may come ``late_days`` late, as long as the spools of agents and of the centre keep what waits.
    """

    def __init__(self, options: Options, retention: Duration, clock: Callable[[], int], late_days: int = 7) -> None:
        self._options = options
        self._late_days = late_days
        self._retention = int(retention)
        self._raw = int(min(options.raw or retention, retention))
        self._clock = clock
        self._server = Connection(options)
        self._roll_up = f"pantau {ql.ROLLED} {options.bucket}"

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()

    # --- making ------------------------------------------------------------------------------------------------------

    async def init(self, *, change: bool) -> AsyncIterator[Step]:
        """Make what is missing and tell it. Where shorter retention would delete values, only when ``change``; StoreUnavailable."""
        version, _ = await self._server.greet()
        yield Step("well", "version", {"version": version or "VictoriaMetrics"})
        if self._raw < min(_RAW_MIN, self._retention):
            yield Step("bad", "raw_short", {"days": _RAW_MIN // _DAY})
        elif not version:
            yield Step("note", "victoria_init")
        elif version.lstrip("v").startswith("3"):
            yield Step("note", "three_init", {"bucket": self._options.bucket, "days": self._raw // _DAY})
        elif (await self._server.spoken()).databases:
            async for step in self._init_one(change=change):
                yield step
        else:
            async for step in self._init_two(change=change):
                yield step

    async def _init_one(self, *, change: bool) -> AsyncIterator[Step]:
        bucket, policy = self._options.bucket, self._options.policy or "autogen"
        known = await self._policies()
        if known is None:
            await self._server.ask(
                [f"CREATE DATABASE {ql.name(bucket)} WITH DURATION {self._raw}s REPLICATION 1 NAME {ql.name(policy)}"]
            )
            yield Step("done", "database_made", {"bucket": bucket, "kept": _lasting(self._raw)})
            known = {policy: (self._raw, True)}
        else:
            policy = self._options.policy or next((name for name, (_, default) in known.items() if default), policy)
        for name, seconds in ((policy, self._raw), (ql.ROLLED, self._retention)):
            yield await self._policy(name, seconds, known.get(name, (None, False))[0], change=change)
        if self._options.raw:
            yield await self._continuous_query(policy)

    async def _policy(self, name: str, seconds: int, present: int | None, *, change: bool) -> Step:
        on = f"RETENTION POLICY {ql.name(name)} ON {ql.name(self._options.bucket)} DURATION {seconds}s"
        told = {"name": name, "kept": _lasting(seconds)}
        if present is None:
            await self._server.ask([f"CREATE {on} REPLICATION 1"])
            return Step("done", "kept_made", told)
        if present == seconds:
            return Step("well", "kept", told)
        if not (change or await self._loses_nothing(name, seconds, present)):
            return Step("bad", "kept_otherwise", told | {"now": _lasting(present)})
        # 0 s, also in a rule of InfluxDB 2: what suits the new duration; shards that are longer than it would be refused
        await self._server.ask([f"ALTER {on} SHARD DURATION 0s"])
        return Step("done", "kept_changed", told | {"now": _lasting(present)})

    async def _continuous_query(self, policy: str) -> Step:
        bucket, days = self._options.bucket, self._late_days + 1
        wanted = ql.roll_up(bucket, policy, self._roll_up, days)
        present = (await self._continuous_queries()).get(self._roll_up)
        if present is not None and _plain(present) == _plain(wanted):
            return Step("well", "roll_up", {"name": self._roll_up})
        drop = f"DROP CONTINUOUS QUERY {ql.name(self._roll_up)} ON {ql.name(bucket)}"
        await self._server.ask([*([drop] if present is not None else []), wanted])
        return Step("done", "roll_up_made" if present is None else "roll_up_changed", {"name": self._roll_up})

    async def _init_two(self, *, change: bool) -> AsyncIterator[Step]:
        status, found = await self._server.manage("GET", f"/api/v2/orgs?{flux.query(org=self._options.org)}")
        org = next(iter(found.get("orgs", [])), None)
        if org is None:
            why = found.get("message") or f"HTTP {status}"
            yield Step("bad", "org_missing", {"org": self._options.org, "why": why})
            return
        rolled = f"{self._options.bucket}/{ql.ROLLED}"
        for name, seconds in ((self._bucket(), self._raw), (rolled, self._retention)):
            step = await self._make_bucket(org["id"], name, seconds, change=change)
            yield step
            if step.what == "refused":
                return
        if self._options.raw:
            yield await self._task(org["id"], rolled)

    async def _make_bucket(self, org: str, name: str, seconds: int, *, change: bool) -> Step:
        bucket = await self._find_bucket(name)
        told = {"name": name, "kept": _lasting(seconds)}
        rule = {"type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": 0}
        body = {"name": name, "orgID": org, "retentionRules": [rule]}
        if bucket is None:
            return await self._managed("POST", "/api/v2/buckets", body, Step("done", "kept_made", told))
        present = sum(rule["everySeconds"] for rule in bucket["retentionRules"])
        if present == seconds:
            return Step("well", "kept", told)
        told |= {"now": _lasting(present)}
        policy = name.partition("/")[2]
        if not (change or await self._loses_nothing(policy, seconds, present)):
            return Step("bad", "kept_otherwise", told)
        return await self._managed("PATCH", f"/api/v2/buckets/{bucket['id']}", body, Step("done", "kept_changed", told))

    async def _task(self, org: str, rolled: str) -> Step:
        script = flux.roll_up(self._bucket(), rolled, self._roll_up, self._late_days)
        task, told = await self._find_task(), {"name": self._roll_up}
        if task is None:
            return await self._managed(
                "POST", "/api/v2/tasks", {"orgID": org, "flux": script}, Step("done", "roll_up_made", told)
            )
        if task["flux"] == script and task["status"] == "active":
            return Step("well", "roll_up", told)
        body = {"flux": script, "status": "active"}
        return await self._managed("PATCH", f"/api/v2/tasks/{task['id']}", body, Step("done", "roll_up_changed", told))

    async def _managed(self, method: str, path: str, body: object, done: Step) -> Step:
        status, answer = await self._server.manage(method, path, body)
        if status < 300:  # noqa: PLR2004 - classes of status codes
            return done
        return Step("bad", "refused", {**done.values, "why": f"HTTP {status} {answer.get('message', '')}"})

    # --- examining ---------------------------------------------------------------------------------------------------

    async def check(self, host: str) -> AsyncIterator[Step]:
        """Return what works, one thing after the other; the first one that must is that the server answers."""
        before = self._clock()
        try:
            version, there = await self._server.greet()
        except StoreUnavailable as error:
            yield Step("bad", "away", {"why": str(error)})
            return
        now = self._clock()
        yield Step("well", "reached", {"url": self._server.url, "ms": (now - before) // 1_000_000})
        yield Step("well", "version", {"version": version or "VictoriaMetrics"})
        if there is not None:
            offset = abs(there.timestamp() - now / 1e9)
            told = {"seconds": round(offset, 1)}
            yield Step("well", "clock", told) if offset < _CLOCK else Step("bad", "clock_off", told)
        refused = await self._tried(self._server.post(b""))
        yield Step("bad", "write_refused", {"why": refused}) if refused else Step("well", "write")
        if "not found" in refused:
            yield Step("note", "init_first")
            return
        if not version:
            yield Step("note", "victoria_read")
            return
        store = Influx(self._options, Path(), self._clock)
        try:
            async for step in self._examine(store, host):
                yield step
        except StoreUnavailable as error:
            yield Step("bad", "read_refused", {"why": str(error)})
        finally:
            await store.close()

    async def _tried(self, posting: Awaitable[str]) -> str:
        try:
            return await posting
        except StoreUnavailable as error:
            return str(error)

    async def _examine(self, store: Influx, host: str) -> AsyncIterator[Step]:
        measurements = await store.measurements()
        yield Step("well", "read", {"count": len(measurements)})
        now = self._clock()
        written = await store.write([Point(_PROBE, {"host": host}, {"at": now}, now)])
        found = await store.latest(_PROBE, ["at"], since=now, where={"host": host})
        if written.points and found and found[0].fields == {"at": now}:
            yield Step("well", "round_trip", {"ms": (self._clock() - now) // 1_000_000})
        else:
            yield Step("bad", "round_trip_failed", {"why": "; ".join(one.why for one in written.rejected)})
        with contextlib.suppress(StoreUnavailable):  # a token may lack the right to delete
            await self._server.ask([ql.delete(_PROBE)])
        one = (await self._server.spoken()).databases
        async for step in self._check_one() if one else self._check_two():
            yield step

    async def _check_one(self) -> AsyncIterator[Step]:
        known = await self._policies() or {}
        raw = next((name for name, (_, default) in known.items() if default), "")
        for name, seconds in ((self._options.policy or raw, self._raw), (ql.ROLLED, self._retention)):
            yield _kept(name, seconds, known.get(name, (None, False))[0])
        if self._options.raw:
            there = self._roll_up in await self._continuous_queries()
            yield Step("well" if there else "bad", "roll_up" if there else "roll_up_missing", {"name": self._roll_up})

    async def _check_two(self) -> AsyncIterator[Step]:
        rolled = f"{self._options.bucket}/{ql.ROLLED}"
        for name, seconds in ((self._bucket(), self._raw), (rolled, self._retention)):
            bucket = await self._find_bucket(name)
            rules = None if bucket is None else sum(rule["everySeconds"] for rule in bucket["retentionRules"])
            yield _kept(name, seconds, rules)
        if not self._options.raw:
            return
        task, told = await self._find_task(), {"name": self._roll_up}
        if task is None:  # tasks that a token may not read look as if they were not there
            yield Step("note", "roll_up_unseen", told)
        elif task["status"] != "active":
            yield Step("bad", "roll_up_missing", told)
        elif task.get("lastRunStatus") == "failed":
            yield Step("bad", "roll_up_failed", told | {"why": shortened(str(task.get("lastRunError", "")), _FOUND)})
        else:
            yield Step("well", "roll_up", told)

    # --- what is there -----------------------------------------------------------------------------------------------

    def _bucket(self) -> str:
        options = self._options
        return f"{options.bucket}/{options.policy}" if options.policy else options.bucket

    async def _policies(self) -> dict[str, tuple[int, bool]] | None:
        """Return retention policies of InfluxDB 1: name -> (seconds, default or not); None without the database."""
        try:
            (answer,) = await self._server.ask([ql.policies(self._options.bucket)])
        except StoreUnavailable as error:
            if "database not found" in str(error):
                return None
            raise
        return {row[0]: (ql.seconds(row[1]), bool(row[4])) for rows in answer for row in rows.values}

    async def _continuous_queries(self) -> dict[str, str]:
        (answer,) = await self._server.ask(["SHOW CONTINUOUS QUERIES"])
        return {row[0]: row[1] for rows in answer if rows.name == self._options.bucket for row in rows.values}

    async def _find_bucket(self, name: str) -> Any:
        path = f"/api/v2/buckets?{flux.query(org=self._options.org, name=name)}"
        _, found = await self._server.manage("GET", path)
        return next(iter(found.get("buckets", [])), None)

    async def _find_task(self) -> Any:
        path = f"/api/v2/tasks?{flux.query(org=self._options.org, name=self._roll_up)}"
        _, found = await self._server.manage("GET", path)
        return next(iter(found.get("tasks", [])), None)

    async def _loses_nothing(self, policy: str, seconds: int, present: int) -> bool:
        """Return whether no value is older than the retention that is wanted."""
        if present and present <= seconds:
            return True
        before = self._clock() - seconds * 10**9
        (answer,) = await self._server.ask([ql.count(policy, -(2**62), before)])
        return not any(rows.values for rows in answer)


def _kept(name: str, seconds: int, present: int | None) -> Step:
    if present is None:
        return Step("bad", "kept_missing", {"name": name})
    told = {"name": name, "kept": _lasting(seconds)}
    if present == seconds:
        return Step("well", "kept", told)
    return Step("note", "kept_otherwise", told | {"now": _lasting(present)})


def _lasting(seconds: int) -> str:
    """Write a retention as the settings do; 0 is for ever."""
    for unit, size in (("d", _DAY), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "∞"


def _plain(statement: str) -> str:
    """Return the text without quotes, which the server puts where it needs them."""
    return "".join(statement.split()).replace('"', "").lower()
