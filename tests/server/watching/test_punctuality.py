"""How punctual the schedule is: what is taken down, what is written of it, and when it is called trouble."""

from collectors.result import Reason, Status
from server.watching.jobs import schedule_job
from server.watching.punctuality import Punctuality, to_points

WALL = 10**12  # what the wall clock is ahead of steady time


def looked(known, job, *, due, asked, started, ended, committed=None):
    known.handed(job, due)
    under_way = known.ask(job, due, asked)
    known.start(under_way, started, WALL + started)
    known.end(under_way, ended)
    known.commit(under_way, ended if committed is None else committed)


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
    waiting = known.ask("a", 1000, 1010)
    assert known.take(31_000)["http"].late_ms == 30_000
    assert known.take(41_000)["http"].late_ms == 40_000
    known.give_up(waiting)
    assert known.take(51_000)["http"].late_ms == 0


def test_late_by_many_intervals_is_not_late_modulo_the_interval():
    known = made()
    looked(known, "a", due=1000, asked=1000, started=181_000, ended=181_001)
    assert known.jobs["a"].late_ms == 180_000


def test_due_is_told_on_the_wall_clock():
    known = made()
    looked(known, "a", due=1000, asked=1000, started=1200, ended=1300)
    assert known.jobs["a"].due == WALL + 1000


def test_lateness_is_counted_until_what_was_seen_is_committed():
    known = made()
    looked(known, "a", due=1000, asked=1010, started=1500, ended=1900, committed=4900)
    looked(known, "b", due=1000, asked=1000, started=1000, ended=8000, committed=8100)
    http = known.take(10_000)["http"]
    assert (http.written_ms, http.delay_ms, http.committed_ms) == (3000, 3500, 7100)
    assert (known.jobs["a"].written_ms, known.jobs["a"].committed_ms) == (3000, 3900)
    assert known.take(20_000)["http"].committed_p95_ms == 0


def test_what_is_not_committed_yet_is_late_already_and_counts_no_more_once_the_database_is_away():
    known = made()
    under_way = known.ask("a", 1000, 1000)
    known.start(under_way, 1000, WALL)
    known.end(under_way, 1100)
    http = known.take(31_100)["http"]
    assert (http.late_ms, http.written_ms, http.delay_ms, http.committed_ms) == (0, 30_000, 30_000, 30_100)
    known.give_up(under_way)
    assert known.take(41_100)["http"].committed_ms == 0


def test_halves_and_tails_are_read_from_buckets_and_never_beyond_the_worst():
    known = Punctuality()
    known.add("a", "http", 60)
    for number in range(100):
        committed = 300 if number < 90 else 4000
        looked(known, "a", due=0, asked=0, started=0, ended=0, committed=committed)
    http = known.take(10_000)["http"]
    assert 200 <= http.committed_p50_ms <= 500
    assert 2000 <= http.committed_p95_ms <= 4000
    looked(known, "a", due=0, asked=0, started=0, ended=0, committed=900_000)
    assert known.take(10_000)["http"].committed_p95_ms >= 500_000


def test_it_is_written_as_points_by_kind():
    known = made()
    looked(known, "a", due=1000, asked=1010, started=1500, ended=1900)
    dns, http = to_points(known.take(2000), "pusat", 2000)
    assert (http.measurement, http.tags, http.time) == (
        "internal_schedule",
        {"host": "pusat", "type": "http"},
        2_000_000_000,
    )
    assert http.fields == {
        "jobs": 2,
        "runs": 1,
        "skipped": 0,
        "late_ms": 500,
        "waited_ms": 490,
        "took_ms": 400,
        "written_ms": 0,
        "delay_ms": 500,
        "committed_ms": 900,
        "committed_p50_ms": 750,
        "committed_p95_ms": 900,
    }
    assert dns.fields["runs"] == 0


async def test_a_late_look_and_skipped_due_times_are_trouble_and_the_next_good_look_is_not():
    known, kept, now, behind = made(), [], [0], [0]
    job = schedule_job(known, lambda: now[0], lambda: behind[0], kept.extend, "pusat", 15.0, 15.0)

    async def result_at(ms):
        now[0] = ms
        (result,) = await job.look(WALL + ms)
        return result

    result = await result_at(0)
    assert (result.status, result.reason, result.detail, len(kept)) == (Status.UP, Reason.OK, "", 2)
    assert kept[0].time == WALL * 1_000_000
    looked(known, "a", due=1000, asked=1000, started=21_000, ended=21_100)
    result = await result_at(22_000)
    assert (result.status, result.reason) == (Status.DEGRADED, Reason.LATE)
    assert (
        result.detail
        == "a look of kind http started 20.0 s after it was due, after waiting 20.0 s for a slot (limit 15 s)"
    )
    looked(known, "a", due=181_000, asked=181_000, started=181_000, ended=181_001)
    result = await result_at(182_000)
    assert (result.status, result.detail) == (Status.DEGRADED, "2 of 3 due times of kind http passed without a look")
    looked(known, "a", due=241_000, asked=241_000, started=241_000, ended=241_001)
    assert (await result_at(242_000)).status is Status.UP
    looked(known, "a", due=301_000, asked=301_000, started=301_000, ended=321_000, committed=336_500)
    assert (await result_at(340_000)).detail == (
        "what a look of kind http showed was written 15.5 s late, its own time left out (limit 15 s)"
    )
    looked(known, "a", due=361_000, asked=361_000, started=361_000, ended=381_000)
    assert (await result_at(382_000)).status is Status.UP  # a look may take its time
    behind[0] = 15_001
    assert (await result_at(390_000)).detail == "what was seen waits 15.0 s to be written (limit 15 s)"


async def test_skipped_rounds_of_few_rules_are_not_lost_among_many_checks():
    known = Punctuality()
    known.add("rule/x", "rule", 15)
    for number in range(200):
        known.add(f"check-{number}", "http", 60)
        looked(known, f"check-{number}", due=0, asked=0, started=0, ended=0)
    looked(known, "rule/x", due=0, asked=0, started=0, ended=0)
    known.skip("rule/x", 3)
    assert known.trouble(known.take(60_000), 15) == "3 of 4 due times of kind rule passed without a look"
    assert known.trouble(known.take(60_000), 15) == ""
