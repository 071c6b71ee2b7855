"""Invariants of the report: what it counts of each service lies within what the script allows."""

from fractions import Fraction

from simulation.bookkeeping import shown_twice, wall_until
from simulation.city import EPOCH
from simulation.truth import BLIND, zones

from server.calendar.intervals import clip, common, merge, total, without
from server.report.build import build


def reports_are_the_script(city):
    """A report over the whole time counts what was surely down, surely not, and surely unobserved; planned work to the millisecond."""
    if shown_twice(city):
        return  # its wall clock shows some times twice: no figure is right for both
    now = city.wall()
    with city.connected() as tx:
        report = build(tx, city.register, start=EPOCH, end=now, now=now, zone="Asia/Jakarta", floor=Fraction(0))
    work = {}
    for subject, start, end in city.rows("SELECT subject, start_ms, end_ms FROM maintenance"):
        work.setdefault(subject, []).append((start, end))
    for service in report.services:
        subject = f"service/{service.id}"
        agreed = _life(city, subject, now)
        if agreed is None:
            continue
        maint = common([agreed], merge(work.get(subject, [])))
        if service.figures.maint != total(maint):
            yield f"report: {subject} had {total(maint)} ms of planned work, and {service.figures.maint} are counted"
        known = {
            kind: without(clip(_sure(city, service.id, kind), *agreed), maint) for kind in ("up", "degraded", "down")
        }
        rated = agreed[1] - agreed[0] - total(maint)
        least, most = total(known["down"]), rated - total(known["up"]) - total(known["degraded"])
        if not least <= service.figures.down <= most:
            yield f"report: {subject} was down for {least} to {most} ms, and {service.figures.down} are counted"
        blind = without(clip(_nobody(city), *agreed), maint)
        if not total(blind) <= service.figures.unknown <= rated - sum(map(total, known.values())):
            yield f"report: {subject} was unobserved for {total(blind)} ms at least, and {service.figures.unknown} are counted"


def _life(city, subject, now):
    (first,) = city.rows(f"SELECT min(start_ms) FROM span WHERE subject = '{subject}'")[0]
    return None if first is None else (first, now)


def _sure(city, check, kind):
    """Return when a service surely was seen to stand so, by the wall clock."""
    return merge(
        (city.wall_at(zone.sure), city.wall_at(zone.end - BLIND))
        for zone in zones(city)[check, f"service/{check}"]
        if zone.shows == kind and zone.end - BLIND > max(zone.sure, zone.believed)
    )


def _nobody(city):
    """Return when surely nobody looked, by the wall clock: between stretches in which the centre ran."""
    grace = round(BLIND * 1000)
    ran = merge((city.wall_at(start), wall_until(city, end) + grace) for start, end, _ in city.running)
    return without([(ran[0][0], ran[-1][1])], ran)


INVARIANTS = (reports_are_the_script,)
