"""One paper: a report of a period, built from the ledger and written down; all of it blocks, and may take minutes and much memory."""

import asyncio
from contextlib import closing
from typing import Literal

import msgspec
from sqlalchemy import Connection

from alerts.i18n.catalogue import LanguageCode
from server.inventory.register import Register
from server.ledger.timeline import Timeline
from server.report import render
from server.report.build import build
from server.report.model import Report, ServiceReport
from server.state.database import Database
from server.state.place import Place

Form = Literal["html", "json", "csv"]
_READ_ONLY = {"sqlite": "PRAGMA query_only = ON", "postgresql": "SET TRANSACTION READ ONLY"}


class Order(msgspec.Struct, frozen=True):
    """What is wanted: the report of ``[start, end)`` (ms since the epoch) as of ``now``, from the ledger in ``state``.

    ``form`` None asks for the figures only.
    """

    state: Place
    register: Register
    zone: str
    title: str
    start: int
    end: int
    now: int
    lang: LanguageCode
    form: Form | None = None


def make(order: Order) -> Report | bytes:
    """Return the paper as UTF-8, or the report without its evidence. StateAway; to be called off the event loop."""
    with closing(Database(order.state)) as database:
        report = asyncio.run(database.read(lambda tx: _build(tx, order)))
    match order.form:
        case "html":
            return render.html(report, order.lang, made=order.now, title=order.title).encode()
        case "json":
            return render.json(report).encode()
        case "csv":
            return render.csv(report, order.lang).encode()
        case None:
            return msgspec.structs.replace(report, services=[_without_evidence(each) for each in report.services])


def only_read(tx: Connection) -> None:
    """Make the database refuse whatever this transaction might write."""
    tx.exec_driver_sql(_READ_ONLY[tx.dialect.name])


def _build(tx: Connection, order: Order) -> Report:
    only_read(tx)
    return build(tx, order.register, start=order.start, end=order.end, now=order.now, zone=order.zone)


def _without_evidence(each: ServiceReport) -> ServiceReport:
    nothing = Timeline(period=each.timeline.period, down=[], degraded=[], unknown=[], maint=[])
    return msgspec.structs.replace(each, outages=(), unobserved=(), work=(), days=(), timeline=nothing)
