"""A ledger that tests fill by hand, and a city to report on."""

import datetime as dt

import pytest
from sqlalchemy import create_engine

from server.inventory.register import Agency, Register, Service
from server.ledger import maintenance
from server.report.build import build
from server.state.tables import metadata, monitor_run, span

DAY = 86_400_000


def ms(text):
    """Read a local moment of June 2026 (``04T15:30``) or any ISO moment, in WIB."""
    text = f"2026-06-{text}" if text[2] == "T" else text
    return round(dt.datetime.fromisoformat(f"{text}+07:00").timestamp() * 1000)


class Book:
    """Writes spans, runs and work; builds reports."""

    def __init__(self, tx):
        self.tx = tx
        self.services = {}
        self.agencies = {"dinkes": Agency(id="dinkes", name="Dinas Kesehatan")}
        self.calendars = {}

    def service(self, identity, **more):
        more = {"name": identity.title(), "agency": "dinkes", **more}
        self.services[identity] = Service(id=identity, **more)

    def ran(self, start, end):
        self.tx.execute(monitor_run.insert().values(start_ms=ms(start), beat_ms=ms(end)))

    def saw(self, name, *stretches, check="http"):
        """Fill ``(status, start, end)`` or ``(status, start, end, reason)``, as a check of a minute would."""
        for status, start, end, *reason in stretches:
            low, high = ms(start), ms(end)
            self.tx.execute(
                span.insert().values(
                    check_id=check,
                    subject=f"service/{name}",
                    status=status,
                    reason=reason[0] if reason else ("ok" if status == "up" else "timeout"),
                    start_ms=low,
                    last_ms=high - 60_000,
                    end_ms=high,
                    counts=True,
                    looks=(high - low) // 60_000,
                )
            )

    def except_for(self, name, start, end, *stretches):
        """Fill a period with UP, except for the stretches."""
        at = start
        for status, low, high, *reason in stretches:
            self.saw(name, ("up", at, low), (status, low, high, *reason))
            at = high
        self.saw(name, ("up", at, end))

    def work(self, name, start, end, approved, reason="ganti disk"):
        return maintenance.add(
            self.tx,
            subject=f"service/{name}",
            start=ms(start),
            end=ms(end),
            reason=reason,
            author="Budi",
            approver="Kepala Dinas",
            now=ms(approved),
        )

    @property
    def register(self):
        return Register(agencies=self.agencies, services=self.services, hosts={}, hours={}, calendars=self.calendars)

    def report(self, start="2026-06-01T00:00", end="2026-07-01T00:00", now="2026-09-01T00:00", **more):
        return build(self.tx, self.register, start=ms(start), end=ms(end), now=ms(now), zone="Asia/Jakarta", **more)


@pytest.fixture
def book():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection, connection.begin():
        yield Book(connection)
    engine.dispose()


@pytest.fixture
def city(book):
    """June 2026 in a city: outages, a gap, maintenance, a night open at the end, one service without data, one retired."""
    book.agencies["dukcapil"] = Agency(id="dukcapil", name="Dinas Kependudukan dan Pencatatan Sipil")
    book.ran("2026-05-01T00:00", "10T00:00")
    book.ran("10T00:20", "2026-09-01T00:00")
    june = ("2026-06-01T00:00", "2026-07-01T00:00")
    born = {"registered": dt.date(2026, 6, 1)}
    book.service("simpus", name="SIMPUS <Puskesmas>", criticality=5, target=99.9, **born)
    book.except_for(
        "simpus",
        *june,
        ("down", "04T15:30:07", "05T08:30:21", "unreachable"),
        ("degraded", "12T09:00", "12T11:00", "slow"),
        ("down", "20T10:00", "20T10:03", "http_error"),
        ("down", "20T10:05", "20T10:07", "timeout"),
    )
    book.work("simpus", "04T22:00", "05T02:00", approved="01T08:00")
    book.service("antrean", name="Antrean daring", target=99.5, **born)
    book.except_for("antrean", *june)
    book.service("ktp", name="KTP elektronik", agency="dukcapil", criticality=5, target=99.5, **born)
    book.except_for("ktp", *june, ("unknown", "08T00:00", "14T00:00", "resolver_failed"))
    book.service("akta", name="Akta kelahiran", agency="dukcapil", criticality=1, target=99.0, **born)
    book.except_for("akta", "2026-06-01T00:00", "2026-07-02T06:00", ("down", "30T22:00", "2026-07-01T02:00", "refused"))
    book.service("baru", name="Layanan baru", agency="dukcapil", registered=dt.date(2026, 7, 1))
    book.saw("lama", ("up", "2026-06-01T00:00", "15T12:00"))
    return book
