"""How punctual the schedule is: what is taken down, what is written of it, and when it is called trouble."""

from collectors.result import Reason, Status
from server.watching.jobs import schedule_job
from server.watching.punctuality import Punctuality, to_points


def looked(known, job, *, due, asked, started, ended):
    known.handed(job, due)
    known.ask(job, due, asked)
    known.start(job, started)
    known.end(job, ended)


def made():
    known = Punctuality()
    for job, kind in (("a", "http"), ("b", "http"), ("c", "dns")):
        known.add(job, kind, 60)
    return known


def test_worst_delays_begin_anew_when_they_were_taken_and_counts_go_on():
    known = made()
    looked(known, "a", due=1000, asked=1010, started=1500, ended=1900)
    looked(known, "b", due=1000, asked=1010, started=1020, ended=9000)
    looked(known, "c", due=1000, asked=1000, started=1000, ended=1001)
    first = known.take(10_000)
    assert (first["http"].jobs, first["http"].runs, first["http"].late_ms) == (2, 2, 500)
    assert (first["http"].waited_ms, first["http"].took_ms, first["dns"].took_ms) == (490, 7980, 1)
    again = known.take(20_000)["http"]
    assert (again.runs, again.late_ms, again.waited_ms, again.took_ms) == (2, 0, 0, 0)


def test_a_look_that_waits_and_never_starts_is_late_already():
    known = made()
    known.ask("a", 1000, 1010)
    assert known.take(31_000)["http"].late_ms == 30_000
    assert known.take(41_000)["http"].late_ms == 40_000
    known.give_up("a")
    assert known.take(51_000)["http"].late_ms == 0


def test_late_by_many_intervals_is_not_late_modulo_the_interval():
    known = made()
    looked(known, "a", due=1000, asked=1000, started=181_000, ended=181_001)
    assert known.jobs["a"].late_ms == 180_000


def test_a_clock_that_was_set_back_makes_nothing_negative():
    known = made()
    looked(known, "a", due=100_000, asked=99_000, started=98_000, ended=97_000)
    one = known.jobs["a"]
    assert (one.late_ms, one.waited_ms, one.took_ms) == (0, 0, 0)


def test_it_is_written_as_points_by_kind():
    known = made()
    looked(known, "a", due=1000, asked=1010, started=1500, ended=1900)
    dns, http = to_points(known.take(2000), "pusat", 2000)
    assert (http.measurement, http.tags, http.time) == (
        "internal_schedule",
        {"host": "pusat", "type": "http"},
        2_000_000_000,
    )
    assert http.fields == {"jobs": 2, "runs": 1, "skipped": 0, "late_ms": 500, "waited_ms": 490, "took_ms": 400}
    assert dns.fields["runs"] == 0


async def test_a_late_look_and_skipped_due_times_are_trouble_and_the_next_good_look_is_not():
    known, kept = made(), []
    job = schedule_job(known, kept.extend, "pusat", 15.0, 15.0)
    (result,) = await job.look(0)
    assert (result.status, result.reason, result.detail, len(kept)) == (Status.UP, Reason.OK, "", 2)
    looked(known, "a", due=1000, asked=1000, started=21_000, ended=21_100)
    (result,) = await job.look(22_000)
    assert (result.status, result.reason) == (Status.DEGRADED, Reason.LATE)
    assert (
        result.detail
        == "a look of kind http started 20.0 s after it was due, after waiting 20.0 s for a slot (limit 15 s)"
    )
    looked(known, "a", due=181_000, asked=181_000, started=181_000, ended=181_001)
    (result,) = await job.look(182_000)
    assert (result.status, result.detail) == (Status.DEGRADED, "2 of 3 due times passed without a look")
    looked(known, "a", due=241_000, asked=241_000, started=241_000, ended=241_001)
    (result,) = await job.look(242_000)
    assert result.status is Status.UP
