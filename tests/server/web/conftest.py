"""A lively town for the pages: 38 services of 12 agencies, servers, devices, faults and messages; and a browser to look at it."""

import asyncio
import contextlib
import datetime as dt
import functools
import itertools
import math
import random
import threading
from zoneinfo import ZoneInfo

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher
from judging import save
from msgspec.structs import replace
from sqlalchemy import insert, update

from alerts import tables
from alerts.state import Policy, State
from alerts.states import States
from alerts.states import read as read_states
from collectors.point import Point
from collectors.result import Reason, Status
from collectors.snmp import Options as Device
from configs.secret import Secret
from server.inventory.register import Agency, Host, Register, Service
from server.report.papers import Papers
from server.state import tables as own
from server.state.database import Database
from server.store import StoreUnavailable
from server.store.buckets import Bucket, Buckets
from server.store.embedded.store import Embedded, Options
from server.watching.feed import Feed
from server.watching.planned_checks import PlannedCheck
from server.watching.watched import Watched
from server.web import accounts
from server.web.app import Parts, build
from server.web.context import Limits
from server.web.site import Site

DAY = 86_400_000
MINUTE = 60_000
NOW = int(dt.datetime(2026, 6, 4, 15, 30, tzinfo=dt.timezone(dt.timedelta(hours=7))).timestamp() * 1000)
PASSWORD = "rahasia-sekali-1"

AGENCIES = (
    ("diskominfo", "Dinas Komunikasi dan Informatika"),
    ("dukcapil", "Dinas Kependudukan dan Pencatatan Sipil"),
    ("dinkes", "Dinas Kesehatan"),
    ("bapenda", "Badan Pendapatan Daerah"),
    ("dpmptsp", "Dinas Penanaman Modal dan PTSP"),
    ("disdik", "Dinas Pendidikan"),
    ("bkpsdm", "Badan Kepegawaian dan Pengembangan SDM"),
    ("bappeda", "Badan Perencanaan Pembangunan Daerah"),
    ("dishub", "Dinas Perhubungan"),
    ("dinsos", "Dinas Sosial"),
    ("rsud", "Rumah Sakit Umum Daerah"),
    ("setda", "Sekretariat Daerah"),
)
SERVICES = (
    *(
        ("portal", "Portal Resmi Kota", 0),
        ("laporwarga", "Lapor Warga", 0),
        ("sso", "Masuk Tunggal ASN", 0),
        ("surel", "Surel Dinas", 0),
    ),
    *(
        ("kk-online", "Kartu Keluarga Daring", 1),
        ("akta", "Akta Kelahiran", 1),
        ("antre-dukcapil", "Antrean Dukcapil", 1),
    ),
    *(
        ("simpus", "SIMPUS", 2),
        ("e-imunisasi", "e-Imunisasi", 2),
        ("ambulans", "Panggilan Ambulans", 2),
        ("gizi", "Pantau Gizi", 2),
    ),
    *(
        ("pbb", "Pajak Bumi dan Bangunan", 3),
        ("bphtb", "BPHTB", 3),
        ("pajak-resto", "Pajak Restoran dan Hotel", 3),
        ("e-retribusi", "e-Retribusi", 3),
    ),
    *(
        ("izin", "Perizinan Terpadu", 4),
        ("izin-praktik", "Izin Praktik Tenaga Kesehatan", 4),
        ("peta-izin", "Peta Perizinan", 4),
    ),
    *(("ppdb", "PPDB", 5), ("dapodik", "Sinkron Dapodik", 5), ("rapor", "Rapor Digital", 5)),
    *(("e-kinerja", "e-Kinerja", 6), ("cuti", "Cuti Pegawai", 6), ("presensi", "Presensi ASN", 6)),
    *(("musrenbang", "e-Musrenbang", 7), ("satu-data", "Satu Data Kota", 7), ("sipd-jembatan", "Jembatan SIPD", 7)),
    *(("uji-kir", "Uji KIR", 8), ("cctv", "CCTV Lalu Lintas", 8), ("parkir", "Parkir Elektronik", 8)),
    *(("bansos", "Data Bantuan Sosial", 9), ("dtks", "Usulan DTKS", 9)),
    *(("daftar-rsud", "Pendaftaran RSUD", 10), ("simrs", "SIMRS", 10), ("kamar", "Ketersediaan Kamar", 10)),
    *(("srikandi", "Persuratan Elektronik", 11), ("jdih", "JDIH", 11), ("agenda", "Agenda Pimpinan", 11)),
)
FAULTS = {
    "simpus": (Status.DOWN, Reason.REFUSED, "connect to 10.20.3.14:443: connection refused", 29 * MINUTE),
    "daftar-rsud": (Status.DOWN, Reason.HTTP_ERROR, "HTTP 502 from https://daftar.rsud.example/", 4 * MINUTE),
    "pbb": (Status.DEGRADED, Reason.SLOW, "answered after 4.812 s, limit 2 s", 73 * MINUTE),
    "ppdb": (Status.DEGRADED, Reason.TLS_EXPIRING, "certificate ends in 6 days", 2 * DAY),
}
NEVER_SEEN = "agenda"
BLIND = "cctv"


def make_register():
    agencies = {key: Agency(id=key, name=name, contact="0274-555010") for key, name in AGENCIES}
    services = {}
    for at, (key, name, owner) in enumerate(SERVICES):
        services[key] = Service(
            id=key,
            name=name,
            agency=AGENCIES[owner][0],
            url=f"https://{key}.example/",
            criticality=(5, 3, 1)[at % 3],
            depends_on=("sso",) if key in {"e-kinerja", "cuti"} else (),
            public=key not in {"sso", "sipd-jembatan"},
            impact="Pendaftaran pasien di 21 puskesmas" if key == "simpus" else "",
            runbook="https://wiki.example/simpus" if key == "simpus" else "",
        )
    hosts = {
        f"srv-{key}-{n}": Host(id=f"srv-{key}-{n}", agency=key, name="" if n > 1 else f"Server {key}")
        for key, _ in AGENCIES
        for n in (1, 2)
    }
    return Register(agencies=agencies, services=services, hosts=hosts, hours={})


def make_devices(count=16):
    return {
        f"sw-{n:02d}": Device(
            id=f"sw-{n:02d}",
            name=f"Switch lantai {n}",
            agency=AGENCIES[n % 12][0],
            address=f"10.20.{n}.2",
            community=Secret("env", "NONE"),
        )
        for n in range(1, count + 1)
    }


def make_check(identity, kind, subject, *, interval, counts=True):
    policy = Policy(interval=interval, counts=counts)
    return PlannedCheck(identity, kind, subject, interval, 10.0, 10.0, policy, "", build=lambda: None)


def make_checks(register):
    every = [
        *(make_check(f"{one.id}-http", "http", one.subject, interval=60.0) for one in register.services.values()),
        make_check("simpus-tls", "tls", "service/simpus", interval=3600.0, counts=False),
    ]
    return {check.id: check for check in every}


def make_state(check, subject, *, now=NOW, status=Status.UP, reason=Reason.OK, detail="", since=None, took=80, **more):
    values = {
        "pending_status": None,
        "pending_reason": None,
        "pending_since": None,
        "pending_count": 0,
        "blind_since": None,
        "last_at": now - 8000,
        "last_status": status,
        "last_reason": reason,
        "last_detail": detail,
        "last_took": took,
        "last_phases": {},
        "last_facts": {},
        "last_up": now - 8000 if status is Status.UP else None,
    }
    since = now - 9 * DAY if since is None else since
    return State(
        check=check, subject=subject, status=status, reason=reason, detail=detail, since=since, **{**values, **more}
    )


def open_incident(tx, number, check, subject, fault, severity, *, now=NOW, acked_by=None):
    status, reason, detail, age = fault
    onset = now - age
    tx.execute(
        insert(tables.incident).values(
            id=number,
            check_id=check,
            subject=subject,
            status=status.value,
            severity=severity,
            reason=reason.value,
            detail=detail,
            opened_ms=onset,
            confirmed_ms=onset + 70_000,
            acked_ms=onset + 300_000 if acked_by else None,
            acked_by=acked_by,
            ack_note="sedang memeriksa basis data" if acked_by else None,
        )
    )
    flip = tx.execute(
        insert(tables.flip).values(
            incident_id=number,
            check_id=check,
            subject=subject,
            from_status="up",
            to_status=status.value,
            at_ms=onset,
            confirmed_ms=onset + 70_000,
            reason=reason.value,
            detail=detail,
        )
    ).inserted_primary_key[0]
    fates = (
        ("surel-piket", "piket@kota.example", "sent", 1, None),
        ("telegram", "-1001234", "queued", 3, "HTTP 429, retry after 12 s"),
    )
    for channel, recipient, fate, attempt, error in fates:
        tx.execute(
            insert(tables.outbox).values(
                incident_id=number,
                flip_id=flip,
                kind="problem",
                channel=channel,
                recipient=recipient,
                idem_key=f"{number}|{channel}",
                payload="{}",
                status=fate,
                not_before_ms=onset,
                expires_ms=now + DAY,
                attempt=attempt,
                last_error=error,
                created_ms=onset + 70_000,
                sent_ms=onset + 71_000 if fate == "sent" else None,
            )
        )


def fill(tx, register, devices, now=NOW):
    """Write a believable quarter of a year."""
    chance = random.Random(7)
    tx.execute(insert(own.monitor_run).values(start_ms=now - 90 * DAY, beat_ms=now, version="0.1.0"))
    for key, service in register.services.items():
        _fill_service(tx, service, FAULTS.get(key), chance, now)
    if "portal" in register.services:
        _past_incident(tx, now)
    number = 40
    for key, fault in FAULTS.items():
        if key not in register.services:
            continue
        severity = {"simpus": "critical", "daftar-rsud": "high", "pbb": "medium"}.get(key, "low")
        by = "sari" if key == "pbb" else None
        open_incident(tx, number, f"{key}-http", f"service/{key}", fault, severity, now=now, acked_by=by)
        number += 1
    _fill_hosts(tx, register, now)
    disk = (Status.DEGRADED, Reason.THRESHOLD, "used_percent 93.1 > 90", 5 * 60 * MINUTE)
    open_incident(tx, number, "rule/disk", "host/srv-dinkes-1/path=/var", disk, "medium", now=now)
    for device in devices.values():
        silent = device.id == "sw-07"
        status, reason = (Status.DOWN, Reason.SNMP_SILENT) if silent else (Status.UP, Reason.OK)
        save(tx, make_state(f"snmp/{device.id}", f"device/{device.id}", now=now, status=status, reason=reason, took=12))
    silent = (Status.DOWN, Reason.SNMP_SILENT, "no answer from 10.20.7.2 within 5 s", 11 * MINUTE)
    open_incident(tx, number + 1, "snmp/sw-07", "device/sw-07", silent, "high", now=now)


def _past_incident(tx, now):
    timeout = (Status.DOWN, Reason.TIMEOUT, "no answer within 10 s", 26 * 60 * MINUTE)
    open_incident(tx, 20, "portal-http", "service/portal", timeout, "critical", now=now, acked_by="sari")
    over = {"closed_ms": now - 25 * 60 * MINUTE, "close_reason": "recovered"}
    tx.execute(update(tables.incident).where(tables.incident.c.id == 20).values(over))
    tx.execute(update(tables.outbox).where(tables.outbox.c.incident_id == 20).values(status="sent"))


def _fill_service(tx, service, fault, chance, now):
    check, subject = f"{service.id}-http", service.subject
    if service.id == NEVER_SEEN:
        return
    phases = {"dns": 0.004, "connect": 0.011, "tls": 0.024, "first_byte": 0.061, "transfer": 0.006}
    known = {"took": chance.randrange(40, 400), "last_phases": phases, "now": now}
    if service.id == BLIND:
        known |= {"blind_since": now - 7 * MINUTE, "last_status": Status.UNKNOWN, "last_reason": Reason.RESOLVER_FAILED}
    if fault:
        status, reason, detail, age = fault
        known |= {"status": status, "reason": reason, "detail": detail, "since": now - age}
        known["took"] = None if status is Status.DOWN else 4812
    save(tx, make_state(check, subject, **known))
    if service.id == "simpus":
        facts = {"took": 31, "last_facts": {"days_left": 88}}
        save(tx, make_state("simpus-tls", subject, now=now, **facts))
    edges = sorted(chance.uniform(0, 89) for _ in range(chance.randrange(0, 7)))
    at = now - 90 * DAY
    spans = []
    for edge in edges:
        start = now - 90 * DAY + int(edge * DAY)
        long = int(chance.choice((2, 5, 9, 40, 180)) * MINUTE)
        if start <= at:
            continue
        spans += [("up", at, start), (chance.choice(("down", "down", "degraded", "unknown")), start, start + long)]
        at = start + long
    end = now - fault[3] if fault else now
    spans = [one for one in spans if one[2] < end]
    at = spans[-1][2] if spans else now - 90 * DAY
    spans.append(("up", at, end))
    if fault:
        spans.append((fault[0].value, end, now))
    for status, start, stop in spans:
        tx.execute(
            insert(own.span).values(
                check_id=check,
                subject=subject,
                status=status,
                reason="ok" if status == "up" else "timeout",
                start_ms=start,
                last_ms=stop - 8000,
                end_ms=stop,
                counts=True,
                looks=(stop - start) // 60000,
            )
        )


def _fill_hosts(tx, register, now):
    for at, name in enumerate(register.hosts):
        seen = now - (3 * DAY if name == "srv-setda-2" else 4000 + 300 * at)
        row = {"name": name, "first_ms": now - 60 * DAY, "seen_ms": seen, "point_ms": seen - 1000}
        tx.execute(insert(own.host).values(**row, address=f"10.20.{at}.10", client="pantau-agent/0.1.0"))
        if name == "srv-setda-2":
            silent = {"status": Status.DOWN, "reason": Reason.SILENT, "detail": "no points since 3 d", "since": seen}
            save(tx, make_state("rule/silent", f"host/{name}", now=now, took=None, **silent))
            open_incident(
                tx,
                30,
                "rule/silent",
                f"host/{name}",
                (Status.DOWN, Reason.SILENT, "no points", 3 * DAY),
                "high",
                now=now,
            )
        else:
            save(tx, make_state("rule/silent", f"host/{name}", now=now, took=None))
    for name in register.hosts:
        whole = {"check_id": "rule/silent", "subject": f"host/{name}", "status": "up", "reason": "ok", "counts": True}
        tx.execute(insert(own.span).values(**whole, start_ms=now - 60 * DAY, last_ms=now - 8000, end_ms=now, looks=9))
    full = {"status": Status.DEGRADED, "reason": Reason.THRESHOLD, "detail": "used_percent 93.1 > 90"}
    save(
        tx,
        make_state("rule/disk", "host/srv-dinkes-1/path=/var", now=now, took=None, since=now - 5 * 60 * MINUTE, **full),
    )


def make_points(register, now=NOW, hours=3):
    """Yield what agents, checks and SNMP would have written."""
    chance = random.Random(3)
    detailed = ("srv-dinkes-1", "srv-diskominfo-1")
    for back in range(hours * 60, -1, -1):
        time = (now - back * MINUTE) * 1_000_000
        wave = math.sin(back / 40)
        for host in register.hosts if back < 3 else detailed:
            tags = {"host": host}
            busy = 22 + 14 * wave + chance.uniform(0, 5)
            cpu = {"usage_user": busy, "usage_system": busy / 4, "usage_iowait": 1.5, "usage_idle": 98.5 - 1.25 * busy}
            yield Point("cpu", {**tags, "cpu": "cpu-total"}, cpu, time)
            yield Point("mem", tags, {"used_percent": 61 + 3 * wave}, time)
            full = 93.1 if host == "srv-dinkes-1" else 44.0
            yield Point("disk", {**tags, "path": "/"}, {"used_percent": 37.5}, time)
            yield Point("disk", {**tags, "path": "/var"}, {"used_percent": full}, time)
            moved = (hours * 60 - back) * 60 * int(2_400_000 + 900_000 * wave)
            yield Point("net", {**tags, "interface": "eth0"}, {"bytes_recv": moved, "bytes_sent": moved // 3}, time)
            yield Point("diskio", {**tags, "name": "sda"}, {"read_bytes": moved // 9, "write_bytes": moved // 2}, time)
            yield Point("system", tags, {"load1": 0.8 + wave / 2, "load5": 0.8, "load15": 0.7}, time)
        for key in ("simpus", "portal"):
            tags = {"check": f"{key}-http", "subject": f"service/{key}", "type": "http"}
            down = key == "simpus" and back < 29
            took = {} if down else {"took": 0.18 + 0.05 * wave + chance.uniform(0, 0.03)}
            yield Point("pantau_check", tags, {"up": 0 if down else 1, **took}, time)
        for port in range(1, 9):
            tags = {
                "source": "sw-03",
                "agent_host": "10.20.3.2",
                "ifName": f"Gi0/{port}",
                "ifDescr": f"GigabitEthernet0/{port}",
            }
            octets = (hours * 60 - back) * 60 * port * 900_000
            rates = {"ifHCInOctets": octets, "ifHCOutOctets": octets // 2, "ifInErrors": 0, "ifOutErrors": 0}
            yield Point(
                "interface",
                tags,
                {
                    **rates,
                    "ifOperStatus": 1 if port < 6 else 2,
                    "ifAdminStatus": 2 if port == 8 else 1,
                    "ifHighSpeed": 1000,
                },
                time,
            )
        yield Point("device", {"source": "sw-03"}, {"sysUpTime": 86400.0 * 41 + (hours * 60 - back) * 60}, time)


def _settle(folder, now, register, devices, filled):
    ZoneInfo(Site().zone)  # read from disk once, as settings are before the loop runs
    database = Database(f"sqlite:///{folder}/state.db")
    tables.metadata.create_all(database.engine)
    hashed = _hashed()
    with database.engine.connect() as tx, tx.begin():
        if filled:
            fill(tx, register, devices, now)
        for role in accounts.ROLES:
            accounts.add(tx, name=role, password=hashed, role=role, at=now, by="test")
    return database


@functools.cache
def _hashed():
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # cheap: many tests log in


async def open_town(
    folder,
    *,
    now=NOW,
    clock=None,
    register=None,
    devices=None,
    secure=False,
    points=False,
    filled=True,
    device_count=16,
    damaged=False,
    about=None,
    trusted_proxies=(),
    punctuality=None,
    running_time=None,
    limits=Limits(),  # noqa: B008 - frozen
    papers=None,
    steady=None,
    rules=None,
):
    """Return the application and its parts, filled; ``close_town`` lets go."""
    register = register or make_register()
    devices = make_devices(device_count) if devices is None else devices
    database = await asyncio.to_thread(_settle, folder, now, register, devices, filled)
    if damaged:
        (folder / "points.duckdb").write_bytes(b"not a database")
    store = Embedded(Options(), folder, lambda: (clock() if clock else now) * 1_000_000)
    with contextlib.suppress(StoreUnavailable):
        await store.open()
    if points:
        await store.write(list(make_points(register, now)))
    watched = Watched(register, make_checks(register), devices, rules or {})
    watched.about = about or watched.about
    states = States()
    states.load(*await database.read(read_states))
    parts = Parts(
        database=database,
        states=states,
        papers=papers or Papers(),
        place=database.place,
        buckets=Buckets([Bucket("pantau", store, 400 * 86400.0, 1000)]),
        watched=watched,
        feed=Feed(),
        clock=clock or (lambda: now),
        steady=steady or itertools.count(now, DAY).__next__,  # nothing is kept from one request to the next
        site=Site(
            title="Pantau Kota",
            public_url="https://pantau.example" if secure else "",
            trusted_proxies=trusted_proxies,
        ),
        punctuality=punctuality,
        running_time=running_time,
        limits=limits,
    )
    return build(parts), parts


async def close_town(parts):
    await parts.papers.close()
    await parts.store.close()
    await asyncio.to_thread(parts.database.close)


class Town:
    """The town served on a port of 127.0.0.1 by a thread of its own, so that a browser can look at it."""

    def __init__(self, folder, **known):
        self._folder, self._known = folder, known
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(90)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app, self.parts = await open_town(self._folder, **self._known)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()
        await close_town(self.parts)

    def write(self, statement):
        """Run a statement and wait until it is committed."""
        work = self.parts.database.write(lambda tx: tx.execute(statement).rowcount)
        assert asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def believe(self, check, subject, **changes):
        """Change what is believed of a subject, as the judge does."""
        states = self.parts.states
        self.call(lambda: states.put(replace(states.get(check, subject), **changes)))

    def end_streams(self):
        """Break every open stream, as a proxy that restarts does."""
        for listener in self.parts.feed._listeners:
            listener.put(None)

    def call(self, work):
        """Run ``work()`` on the town's own loop."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(60)


@pytest.fixture
def served():
    """The class of a town of one's own, for a browser that changes something."""
    return Town


class Visitor:
    """Somebody with cookies, talking to the application."""

    def __init__(self, client, parts):
        self.client, self.parts = client, parts

    def cookie(self, name):
        found = self.client.session.cookie_jar.filter_cookies(self.client.make_url("/")).get(name)
        return found.value if found else None

    async def get(self, path, **more):
        answer = await self.client.get(path, allow_redirects=False, **more)
        return answer, await answer.text()

    async def post(self, path, data=None, **more):
        answer = await self.client.post(path, data=data or {}, allow_redirects=False, **more)
        return answer, await answer.text()

    async def login(self, name, password=PASSWORD, target="/", **more):
        await self.get("/login")
        form = {"name": name, "password": password, "csrf": self.cookie("form") or "", "next": target}
        return await self.post("/login", form, **more)

    async def csrf(self):
        def read(tx):
            return tx.execute(own.session.select().order_by(own.session.c.created_ms.desc())).first().csrf

        return await self.parts.database.read(read)


@pytest.fixture
async def visit(tmp_path):
    """Return ``visit(role=None, **town)``: a visitor of a fresh town, logged in when a role is given."""
    opened = []

    async def make(role=None, **known):
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        app, parts = await open_town(folder, **known)
        client = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))
        await client.start_server()
        opened.append((client, parts))
        visitor = Visitor(client, parts)
        if role:
            answer, _ = await visitor.login(role)
            assert answer.status == 303
        return visitor

    yield make
    for client, parts in opened:
        await client.close()
        await close_town(parts)


@pytest.fixture(scope="session")
def town(tmp_path_factory):
    """A town that is only looked at, served for a browser."""
    with Town(tmp_path_factory.mktemp("town"), points=True) as served:
        yield served
