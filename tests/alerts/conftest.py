"""A centre without a network: a real database, the judge, and channels that do what a test tells them."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from judging import Told, judge_on
from parts import wait_until

from alerts.courier import Courier
from alerts.incident import messages, open_incidents, recent
from alerts.route import Contact, Via, connect
from alerts.state import Policy
from alerts.subject_info import SubjectInfo
from collectors.result import Reason, Result, Status
from server.state.database import Database
from server.state.migrate import upgrade

START = 1_780_000_000_000  # 28 May 2026, 20.26.40 UTC


class Clock:
    """A clock that stands until a test moves it; ``stepped`` is by how many ms the wall clock was set beside that."""

    def __init__(self, now=START):
        self.now = now
        self.stepped = 0

    @property
    def steady(self):
        return self.now - self.stepped

    def __call__(self):
        return self.now


class Scripted:
    """A channel whose tries end as told; without further orders it delivers."""

    def __init__(self):
        self.script, self.sent, self.tried = [], [], []

    async def send(self, recipient, message):
        self.tried.append((recipient, message))
        if self.script:
            order = self.script.pop(0)
            if callable(order):
                await order()
            else:
                raise order
        self.sent.append((recipient, message))
        return f"id-{len(self.sent)}"

    async def close(self):
        pass

    @property
    def kinds(self):
        return [message.kind for _, message in self.sent]


class Centre:
    """Judge, outbox and courier on one database; ``look`` is one result of check "web" on service/simpus."""

    def __init__(self, database, clock):
        self.database, self.clock = database, clock
        self.channels = {"mail": Scripted(), "hook": Scripted()}
        self.contacts = [Contact("piket", (Via("mail", "piket@kota.example"),))]
        self.routes = []
        self.policy = Policy(interval=60, confirm=2)
        self.about = SubjectInfo(name="SIMPUS", agency="dinkes", agency_name="Dinas Kesehatan", criticality=5)
        self.seen = []
        self.at = clock.now
        self.couriers = 0
        self.tick = 5.0
        self.chance = 1.0  # no jitter: every pause is the longest one

    async def judge(self, planned=lambda: None):
        return await judge_on(
            self.database,
            lambda _check: self.policy,
            lambda _check, _subject: self.about,
            connect(self.contacts, self.routes, self.channels),
            ledger=Told(self.seen),
            clock=self.clock,
            planned=planned,
        )

    async def observe(self, *results, judge=None, steady=None):
        """Let a judge that has just read the database observe results of one moment; return what the last one led to."""
        observed = await (judge or await self.judge()).observe(results, steady or max(result.at for result in results))
        return observed[-1]

    async def look(self, *statuses, subject="service/simpus", judge=None):
        """Observe looks a minute apart; return what the last one led to."""
        observed = None
        for status in statuses:
            self.at += 60_000
            self.clock.now = max(self.clock.now, self.at)
            reason = Reason.OK if status is Status.UP else Reason.REFUSED
            result = Result("web", subject, status, reason, self.at, detail="10.0.0.1:443 refused")
            observed = await self.observe(result, judge=judge)
        return observed

    @asynccontextmanager
    async def courier(self, owner=None):
        self.couriers += 1
        courier = Courier(
            self.database,
            self.channels,
            self.clock,
            lambda: self.clock.steady,
            owner=owner or f"start-{self.couriers}",
            chance=lambda: self.chance,
            in_thread=asyncio.to_thread,
            tick=self.tick,
        )
        running = asyncio.create_task(courier.run())
        try:
            yield courier
        finally:
            await courier.stop(5)
            await running

    async def settled(self):
        """Let a courier work until nothing is due, and return the rows of the newest incident."""
        async with self.courier():
            await wait_until(self._nothing_due, what="settling")
        return await self.rows()

    async def rows(self):
        def read(tx):
            newest = recent(tx, limit=1)
            return messages(tx, newest[0].id) if newest else []

        return await self.database.read(read)

    async def open(self):
        return await self.database.read(open_incidents)

    async def is_settled(self):
        """Return whether no try is under way."""
        return all(row.status != "leased" for row in await self.rows())

    async def _nothing_due(self):
        return not await self.database.read(
            lambda tx: tx.exec_driver_sql(
                "SELECT 1 FROM outbox o WHERE status = 'leased' OR status = 'queued' AND not_before_ms <= ? AND NOT EXISTS"
                " (SELECT 1 FROM channel_state c WHERE c.channel = o.channel AND c.retry_at_ms > ?) AND NOT EXISTS"
                " (SELECT 1 FROM outbox e WHERE e.incident_id = o.incident_id AND e.channel = o.channel AND e.id < o.id"
                " AND e.recipient = o.recipient AND e.status IN ('queued', 'leased'))",
                (self.clock.steady, self.clock.steady),
            ).first()
        )


@pytest.fixture
def clock():
    return Clock()


def fresh(folder):
    database = Database(f"sqlite:///{folder / 'state.db'}")
    upgrade(database.engine)
    return database


@pytest.fixture
def database(tmp_path):
    database = fresh(tmp_path)
    yield database
    database.close()


@pytest.fixture
def make_centre(tmp_path_factory):
    """Build further centres, each on a database of its own; for properties that need one an example."""
    return lambda: Centre(fresh(tmp_path_factory.mktemp("centre")), Clock())


@pytest.fixture
def centre(database, clock):
    return Centre(database, clock)
