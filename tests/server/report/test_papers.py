"""Papers are made in a process of their own, and what happens to it does not happen to the centre."""

import asyncio
import os
import signal
import sys

import pytest
from msgspec.structs import replace
from parts import wait_until

from alerts.tables import StateAway
from server.inventory.register import Agency, Register, Service
from server.report import build, paper, render, worker
from server.report.paper import Order
from server.report.papers import PaperFailed, Papers, PapersBusy
from server.state.database import Database
from server.state.place import Place
from server.state.tables import metadata, monitor_run, span

START, END = 1_780_246_800_000, 1_782_838_800_000  # June 2026 in WIB
NEVER = "import sys, time; sys.stdin.buffer.read(8); time.sleep(3600)"
DIES_ONCE = """
import os, pathlib, sys
once = pathlib.Path({mark!r})
if not once.exists():
    once.touch()
    sys.stdin.buffer.read(8)
    os.kill(os.getpid(), 9)
os.execv(sys.executable, [sys.executable, "-P", "-m", "server.report.worker", sys.argv[1]])
"""


@pytest.fixture
def order(tmp_path):
    """What is wanted of a ledger in which one service was down for an hour."""
    database = Database(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(database.engine)
    seen = {"check_id": "http", "subject": "service/simpus", "counts": True, "looks": 9}
    edges = (START, START + 7_200_000, START + 10_800_000, END)
    with database.engine.begin() as tx:
        tx.execute(monitor_run.insert().values(start_ms=START, beat_ms=END))
        for status, low, high in zip(("up", "down", "up"), edges, edges[1:], strict=False):
            reason = "ok" if status == "up" else "timeout"
            stretch = {"start_ms": low, "last_ms": high - 60_000, "end_ms": high}
            tx.execute(span.insert().values(**seen, status=status, reason=reason, **stretch))
    service = Service(id="simpus", name="SIMPUS", agency="dinkes")
    agencies = {"dinkes": Agency(id="dinkes", name="Dinas Kesehatan")}
    register = Register(agencies=agencies, services={"simpus": service}, hosts={}, hours={})
    yield Order(database.place, register, "Asia/Jakarta", "Pantau", START, END, END, "id")
    database.close()


@pytest.fixture
async def papers():
    """Return ``papers(**limits)``; all are closed at the end."""
    opened = []

    def make(**limits):
        opened.append(Papers(**limits))
        return opened[-1]

    yield make
    for each in opened:
        await each.close()


async def test_what_is_made_elsewhere_is_what_would_be_made_here(order, papers):
    made = papers()
    here = await asyncio.to_thread(paper.make, replace(order, form="json"))
    assert await made.text(order, "json") == here
    assert b"SIMPUS" in await made.text(order, "html")
    assert await made.text(order, "csv") == await asyncio.to_thread(paper.make, replace(order, form="csv"))
    figures = await made.figures(order)
    assert figures.services[0].figures.down == figures.city.down == 3_600_000
    assert (figures.services[0].outages, figures.services[0].timeline.down) == ((), [])


async def test_nothing_of_a_paper_is_made_in_the_process_of_the_centre(order, papers, monkeypatch):
    def fail(*_given, **_more):
        raise AssertionError("made here")

    for module, name in ((build, "build"), (paper, "build"), (paper, "make"), (render, "html")):
        monkeypatch.setattr(module, name, fail)
    made = papers()
    assert b"SIMPUS" in await made.text(order, "html")
    assert made.worker_id not in {None, os.getpid()}


async def test_a_process_that_dies_fails_its_paper_and_no_other(order, papers, tmp_path):
    once = DIES_ONCE.format(mark=str(tmp_path / "died"))
    made = papers(worker=(sys.executable, "-c", once))
    with pytest.raises(PaperFailed, match="died"):
        await made.text(order, "csv")
    assert b"SIMPUS" in await made.text(order, "csv")


async def test_a_process_that_was_killed_while_it_waited_is_replaced(order, papers):
    made = papers()
    await made.figures(order)
    before = made.worker_id
    os.kill(before, signal.SIGKILL)
    await wait_until(lambda: made.worker_id is None)
    assert (await made.figures(order)).city.down == 3_600_000
    assert made.worker_id not in {None, before}


async def test_what_takes_too_long_is_killed(order, papers):
    made = papers(worker=(sys.executable, "-c", NEVER), longest=0.3)
    with pytest.raises(PaperFailed, match="longer than"):
        await made.text(order, "csv")
    assert made.worker_id is None


async def test_a_fault_of_ours_is_told_with_its_lines_and_the_process_goes_on(order, papers):
    made = papers()
    with pytest.raises(PaperFailed, match="the period must end after it starts"):
        await made.text(replace(order, end=START), "csv")
    before = made.worker_id
    assert b"SIMPUS" in await made.text(order, "csv")
    assert made.worker_id == before


async def test_a_ledger_that_is_away_is_said(order, papers, tmp_path):
    elsewhere = Place.parse(f"sqlite:///{tmp_path}/nowhere/state.db")
    with pytest.raises(StateAway):
        await papers().text(replace(order, state=elsewhere), "csv")


async def test_who_asks_for_the_same_meanwhile_gets_the_same_and_no_more_than_so_many_wait(order, papers):
    made = papers(worker=(sys.executable, "-c", NEVER), most=2)
    forms = ("csv", "csv", "json", "csv")
    waiting = [asyncio.create_task(made.text(replace(order, now=END + at), form)) for at, form in enumerate(forms)]
    await wait_until(lambda: made.worker_id is not None, 60)
    with pytest.raises(PapersBusy):
        await made.text(order, "html")
    await made.close()
    assert all(isinstance(end, BaseException) for end in await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_process_ends_when_nobody_wants_a_paper_any_more_and_after_so_many(order, papers):
    made = papers(idle=0.05)
    await made.figures(order)
    await wait_until(lambda: made.worker_id is None, 60)
    often = papers(renewed_after=1)
    await often.figures(order)
    before = often.worker_id
    await often.figures(order)
    assert often.worker_id not in {None, before}
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_where_priorities_cannot_be_changed_papers_are_made_all_the_same(monkeypatch):
    def refuse(_more):
        raise PermissionError

    monkeypatch.setattr("os.nice", refuse)
    worker.give_way()


async def test_papers_leave_the_processor_to_looks(order, papers):
    made = papers()
    await made.figures(order)
    assert os.getpriority(os.PRIO_PROCESS, made.worker_id) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_the_ledger_is_only_read(order):
    with pytest.raises(Exception, match=r"readonly|read-only"):
        await asyncio.to_thread(_write, order)


def _write(order):
    database = Database(order.state)
    try:
        asyncio.run(database.read(lambda tx: (paper.only_read(tx), tx.execute(monitor_run.delete()))))
    finally:
        database.close()
