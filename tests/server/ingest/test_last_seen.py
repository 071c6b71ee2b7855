"""When hosts were last heard, by the centre's own clock, also over a restart."""

import asyncio
import time
from functools import partial

import msgspec
import pytest
from sqlalchemy import select
from yarl import URL

from server.edge.client_address import client_address
from server.enrolment.fingerprints import HEADER
from server.ingest.newcomers import Newcomers
from server.state.tables import host

T0 = 1_700_000_000_000
ONE, OTHER = "aaaaaaaaaaaa 111111111111", "bbbbbbbbbbbb 222222222222"


async def rows(centre):
    return {
        row["name"]: dict(row)
        for row in await centre.database.read(lambda tx: tx.execute(select(host)).mappings().all())
    }


async def test_a_host_is_seen_when_it_writes_not_when_it_measured(serve, memory_store, options):
    now = [T0]
    async with serve(memory_store, options, clock=lambda: now[0]) as centre:
        await centre.write(f"m,host=a f=1 {T0 - 3_600_000}000000\nm,host=b f=1 {T0 + 7_000}000000\nm f=1".encode())
        now[0] += 10_000
        await centre.write(f"m,host=a f=1 {T0 - 7_200_000}000000".encode(), headers={"User-Agent": "some-agent/1"})
        assert centre.ingest.seen() == {"a": T0 + 10_000, "b": T0}
        await centre.ingest.flush_seen()
        stored = await rows(centre)
    assert stored["a"] == {
        "name": "a",
        "first_ms": T0,
        "seen_ms": T0 + 10_000,
        "point_ms": T0 - 3_600_000,
        "address": "127.0.0.1",
        "client": "some-agent/1",
    }
    assert (stored["b"]["seen_ms"], stored["b"]["point_ms"]) == (T0, T0 + 7_000)


async def test_a_client_whose_name_is_no_text_keeps_nobody_from_being_saved(serve, memory_store, options):
    async with serve(memory_store, options, clock=lambda: T0) as centre:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(centre.base).port)
        writer.write(
            b"POST /api/v2/write?org=pantau&bucket=pantau HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Token s3cret-token\r\nUser-Agent: a\xffb\r\nContent-Length: 14\r\n\r\nm,host=odd f=1"
        )
        assert b" 204 " in (await reader.read()).splitlines()[0]
        writer.close()
        await centre.write(b"m,host=good f=1")
        await centre.ingest.flush_seen()
        stored = await rows(centre)
    assert set(stored) == {"odd", "good"}
    assert stored["odd"]["client"] == "a?b"


async def test_a_restart_forgets_nobody(serve, memory_store, options):
    async with serve(memory_store, options, clock=lambda: T0) as centre:
        await centre.write(b"m,host=a f=1\nm,host=b f=1")
    async with serve(memory_store, options, clock=lambda: T0 + 60_000) as centre:
        assert centre.ingest.seen() == {"a": T0, "b": T0}
        await centre.write(b"m,host=b f=1\nm,host=c f=1")
        await centre.ingest.flush_seen()
        stored = await rows(centre)
    assert {name: (row["first_ms"], row["seen_ms"]) for name, row in stored.items()} == {
        "a": (T0, T0),
        "b": (T0, T0 + 60_000),
        "c": (T0 + 60_000, T0 + 60_000),
    }


async def test_a_step_of_the_wall_clock_makes_no_host_older_and_none_silent_in_the_future(serve, memory_store, options):
    wall, steady = [T0], [T0]
    async with serve(memory_store, options, clock=lambda: wall[0], steady=lambda: steady[0]) as centre:
        await centre.write(b"m,host=a f=1")
        wall[0] += 3_600_000
        assert centre.ingest.seen() == {"a": T0}
        steady[0] += 10_000
        await centre.write(b"m,host=a f=1")
        assert centre.ingest.seen() == {"a": T0 + 10_000}
        await centre.ingest.flush_seen()
        assert (await rows(centre))["a"]["seen_ms"] == T0 + 3_600_000
    async with serve(memory_store, options, clock=lambda: T0 + 20_000) as centre:  # set right again, and started again
        assert centre.ingest.seen() == {"a": T0 + 20_000}


async def test_what_could_not_be_saved_is_saved_later(serve, memory_store, options):
    async with serve(memory_store, options) as centre:
        await centre.write(b"m,host=a f=1")
        write = centre.database.write

        async def broken(work):
            raise OSError("disk full")

        centre.database.write = broken
        with pytest.raises(OSError, match="disk full"):
            await centre.ingest.flush_seen()
        assert await rows(centre) == {}
        centre.database.write = write
        await centre.ingest.flush_seen()
        assert set(await rows(centre)) == {"a"}


async def test_a_name_that_no_host_can_have_is_not_kept(serve, memory_store, options):
    async with serve(memory_store, options) as centre:
        assert (await centre.write(b"m,host=" + b"x" * 300 + b" f=1"))[0] == 204
        assert centre.ingest.seen() == {}


async def test_made_up_names_do_not_fill_the_table(serve, memory_store, options, caplog):
    async with serve(memory_store, msgspec.structs.replace(options, hosts=3)) as centre:
        await centre.write(b"\n".join(b"m,host=h%d f=1" % number for number in range(5)))
        await centre.write(b"m,host=h0 f=1\nm,host=h9 f=1")
        assert set(centre.ingest.seen()) == {"h0", "h1", "h2"}
    told = [record.message for record in caplog.records if "no more are taken" in record.message]
    assert told == ["3 hosts are known, no more are taken: 'h3' from 127.0.0.1"]
    assert len(memory_store.points) == 7


async def test_behind_a_trusted_proxy_a_host_has_its_own_address(serve, memory_store, options):
    async with serve(memory_store, options, address=partial(client_address, trusted_proxies=["127.0.0.1"])) as centre:
        await centre.write(b"m,host=a f=1", headers={"X-Forwarded-For": "203.0.113.7", HEADER: ONE})
        await centre.write(b"m,host=a f=1", headers={"X-Forwarded-For": "203.0.113.8", HEADER: OTHER})
        (conflict,) = centre.ingest.clones.conflicts(int(time.time() * 1000))
        await centre.ingest.flush_seen()
        stored = await rows(centre)
    assert stored["a"]["address"] == "203.0.113.7"
    assert (conflict.address, conflict.holder) == ("203.0.113.8", "203.0.113.7")


async def test_a_shared_token_brings_so_many_new_hosts_an_hour(serve, memory_store, options, caplog):
    now = [T0]
    limited = msgspec.structs.replace(options, new_hosts=3)
    async with serve(memory_store, limited, clock=lambda: now[0]) as centre:
        pods = b"\n".join(b"m,host=pod-%d f=1" % number for number in range(5))
        status, body, _ = await centre.write(pods)
        assert status == 422
        why = "token 'agents' brought 3 new hosts within an hour"
        assert body["message"].endswith(f'max-values-per-tag limit exceeded for tag "host": {why} dropped=2')
        assert {point.tags["host"] for point in memory_store.points} == {"pod-0", "pod-1", "pod-2"}
        assert (await centre.write(pods, "/write?db=pantau"))[0] == 400
        status, body, headers = await centre.write(b"m,host=late f=1")
        assert (status, int(headers["Retry-After"])) == (429, 300)
        assert body["message"] == f"{why}, keep the points of 'late' and try again"
        assert (await centre.write(b"m,host=late f=1", "/write?db=pantau"))[0] == 429
        assert (await centre.write(b"m,host=pod-1 f=1\nm f=1"))[0] == 204
        assert set(centre.ingest.seen()) == {"pod-0", "pod-1", "pod-2"}
        now[0] += 3_600_000
        assert (await centre.write(b"m,host=late f=1"))[0] == 204
        assert "late" in centre.ingest.seen()
    told = [record.message for record in caplog.records if "within an hour" in record.message]
    assert told == [f"{why}; no more are taken now: 'pod-3' from 127.0.0.1"]


def test_each_token_has_new_hosts_of_its_own_and_a_name_counts_once():
    newcomers = Newcomers(2)
    assert newcomers.beyond("a", ["x", "y"], T0) == (set(), False)
    assert newcomers.beyond("a", ["x", "y"], T0 + 1) == (set(), False)
    assert newcomers.beyond("a", ["x", "z"], T0 + 2) == ({"z"}, True)
    assert newcomers.beyond("a", ["z"], T0 + 3) == ({"z"}, False)
    assert newcomers.beyond("b", ["z"], T0 + 3) == (set(), False)
    assert newcomers.beyond("a", ["z"], T0 + 3_600_000) == (set(), False)
    assert newcomers.beyond("a", ["v", "w"], T0 + 3_600_001) == ({"w"}, True)
