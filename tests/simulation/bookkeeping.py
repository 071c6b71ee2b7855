"""Invariants of what is believed and written down: ledger, flips, states and incidents against the script.

Each yields words of what is wrong, beginning with its own name.
"""

from itertools import pairwise

from simulation.script import HOUR
from simulation.truth import BLIND, DISK, SLACK, zones

from server.calendar.intervals import common, merge, without

VOUCHED = 300_000  # ms: how long the last look before a step of the clock may still be believed
READING = 500  # ms: a look is dated when it begins, and may read what changed since
REACH = 2.5  # intervals for which one look speaks
FLIPS = "SELECT check_id, subject, from_status, to_status, at_ms, confirmed_ms, reason FROM flip ORDER BY id"
RANK = {"unknown": 0, "up": 0, "degraded": 1, "down": 2}


def ledger_is_the_script(city):
    """Where a subject stood in one way and the centre ran, the ledger says just that; no up where it was down, and the reverse."""
    ran = merge((start, end) for _, start, end in city.rows("SELECT id, start_ms, beat_ms FROM monitor_run"))
    spans = {}
    for check, subject, status, start, end in city.rows("SELECT check_id, subject, status, start_ms, end_ms FROM span"):
        spans.setdefault((check, subject), {}).setdefault(status, []).append((start, end))
    twice = shown_twice(city)
    for identity, stretches in zones(city).items():
        says = {status: common(merge(parts), ran) for status, parts in spans.get(identity, {}).items()}
        for zone in stretches:
            inner = without(merge([(city.wall_at(zone.sure), city.wall_at(zone.end - BLIND))]), twice)
            if zone.shows == "every second" or zone.end - BLIND <= max(zone.sure, zone.believed):
                continue
            for status in ("up", "degraded", "down"):
                if status != zone.shows and (wrong := common(inner, says.get(status, []))):
                    yield f"ledger: {identity} was {zone.shows}, and {status} is written {_when(city, zone, wrong)}"
            if zone.shows != "unknown" and (missing := without(inner, says.get(zone.shows, []))):
                yield f"ledger: {identity} was {zone.shows}, which is not written {_when(city, zone, missing)}"


def nothing_is_claimed_of_gaps(city):
    """Where the centre did not run, or its clock was not, nothing is claimed but what the last look vouched for."""
    ran = merge((start, end) for _, start, end in city.rows("SELECT id, start_ms, beat_ms FROM monitor_run"))
    lived = merge(
        (city.wall_at(start) - 1000, wall_until(city, end) + round(BLIND * 1000)) for start, end, _ in city.running
    )
    claimed = without(ran, lived)
    for start, end in claimed:
        yield f"gap: the centre is said to have run for {(end - start) / 1000:.1f} s, from {start}, in which it did not"


def spans_lie_side_by_side(city):
    """Spans of one check of one subject begin before they end, and do not overlap."""
    query = "SELECT check_id, subject, start_ms, last_ms, end_ms FROM span ORDER BY check_id, subject, start_ms, id"
    for one, other in pairwise([*city.rows(query), (None,) * 5]):
        check, subject, start, last, end = one
        if not start <= last <= end:
            yield f"spans: {check} of {subject} has a span from {start} to {end} whose last look is {last}"
        if other[:2] == one[:2] and other[2] < end:
            yield f"spans: {check} of {subject} is written twice from {other[2]} to {end}"


def flips_are_justified(city):
    """A flip to a bad status names its first look and its last, and between them lie as many as it takes, none of them good."""
    for check, _subject, was, to, at, confirmed, reason in city.rows(FLIPS):
        if check not in city.looks or RANK[to] <= RANK[was] or reason == "unstable":
            continue
        terms = [term for since, term in city.terms[check] if term is not None]
        confirm, reach = min(term[1] for term in terms), REACH * max(term[0] for term in terms) + SLACK
        run = _run(city, check, at, confirmed)
        if run is None:
            yield f"flips: {check} to {to} at {at}, confirmed {confirmed}, names looks that nobody took"
            continue
        if any(low <= moment < high for low, high in shown_twice(city) for moment in (at, confirmed)):
            continue
        counted = [look for look in run if look.status != "unknown"]
        if len(counted) < confirm:
            yield f"flips: {check} to {to} at {at} was believed after {len(counted)} of {confirm} looks"
        if any(RANK[look.status] <= RANK[was] for look in counted if not _may_be_lost(city, check, look)):
            yield f"flips: {check} to {to} at {at} is dated back beyond a look that was good"
        for one, other in pairwise(counted):
            if other.at - one.at > reach:
                yield f"flips: {check} to {to} at {at} joins looks with {other.at - one.at:.0f} s between them"


def flips_are_the_scripts(city):
    """A status that lasts is believed, once; where nothing changed nothing flips, whatever happened to the centre."""
    flips, twice = {}, shown_twice(city)
    for check, subject, was, to, _at, confirmed in _flips(city):
        if any(low <= confirmed < high for low, high in twice):
            continue
        if was != "unknown" or to != "up":  # what is watched for the first time, or again
            flips.setdefault((check, subject), []).append((to, confirmed))
    for identity, stretches in zones(city).items():
        mine, before = flips.get(identity, []), None
        for zone in stretches:
            if zone.shows in {"unknown", "every second"}:
                continue
            low, high = city.wall_at(zone.start), wall_until(city, zone.end) - READING
            within = [(to, moment) for to, moment in mine if low < moment < high]
            late = [to for to, moment in within if moment > city.wall_at(zone.believed) and zone.end > zone.believed]
            if before is not None and before.whole == zone.whole and within:
                yield f"flips: {identity} was {zone.shows} all the time, and flips to {within[0][0]} at {within[0][1]}"
            elif late:
                yield f"flips: {identity} was {zone.shows} since {zone.start / HOUR:.4f} h, and flips to {late} after that"
            if zone.end - BLIND > zone.believed:
                before = zone
                if len(within) > 2 or (within and within[-1][0] != zone.shows):
                    yield f"flips: {identity} became {zone.shows} at {zone.start / HOUR:.4f} h, with flips to {within}"


def half_of_all_looks_is_seen(city):
    """A service of which every second look fails is not said to be up, however many in a row it takes to believe an outage."""
    for (check, subject), stretches in zones(city).items():
        mine = [(to, confirmed) for name, _, _, to, _, confirmed in _flips(city) if name == check]
        for zone in stretches:
            if zone.shows != "every second" or zone.end - BLIND <= zone.believed or shown_twice(city):
                continue
            start, end = city.wall_at(zone.start), wall_until(city, zone.end)
            before = [to for to, confirmed in mine if confirmed < start][-1:]
            if not any(RANK[to] for to in [*before, *(to for to, confirmed in mine if start <= confirmed < end)]):
                yield f"unstable: every second look at {subject} failed from {zone.start / HOUR:.4f} h on, and it counts as up"


def states_are_the_last_flips(city):
    """What is believed at the end is what the last flip said, and an incident is open if and only if that is bad.

    It may be that of the family of a rule.
    """
    hard = {(check, subject): to for check, subject, _was, to, _at, _confirmed in _flips(city)}
    opened = {}
    for check, subject in city.rows("SELECT check_id, subject FROM incident WHERE closed_ms IS NULL"):
        opened[check, subject] = opened.get((check, subject), 0) + 1
    named = set()
    for check, subject, status in city.rows("SELECT check_id, subject, status FROM state"):
        if hard.get((check, subject), "unknown") != status:
            yield f"states: {check} of {subject} is {status}, and its last flip was to {hard.get((check, subject))}"
        blind = status == "unknown" and (check, subject) in hard  # which is an incident, too
        mine = {name: opened[name, subject] for name in names_of(check) if (name, subject) in opened}
        named |= {(name, subject) for name in mine if name == check or RANK[status] > 0 or blind}
        if (
            sum(mine.values()) > 1
            or (not mine and (RANK[status] > 0 or blind))
            or (check in mine and not RANK[status] and not blind)
        ):
            yield f"states: {check} of {subject} is {status}, which its incidents do not say"
        if check in city.place.services and check not in city.chosen.services:
            yield f"states: {check} of {subject} is believed to be {status}, and nobody watches it"
    for check, subject in opened.keys() - named:
        yield f"states: the incident of {check} of {subject} is open, and nothing is believed of it"


def names_of(check):
    """Return the names under which the incident of a check may be open: its own, and that of its family."""
    return (check, "family/disk") if check in DISK else (check,)


def looks_are_punctual(city):
    """Where the centre ran undisturbed, each service was looked at once an interval."""
    for check, looks in city.looks.items():
        for zone in zones(city)[check, f"service/{check}"]:
            if zone.shows == "unknown":
                continue  # one that hangs may keep its round
            times = [look.at for look in looks if zone.start <= look.at <= zone.end]
            for one, other in pairwise([zone.start, *times, zone.end]):
                if other - one > zone.interval + SLACK:
                    yield f"punctual: {check} was not looked at for {other - one:.0f} s from {one / HOUR:.4f} h on"


def _flips(city):
    return [row[:-1] for row in city.rows(FLIPS)]


def _run(city, check, at, confirmed):
    """Return the looks from the one dated ``at`` to the one dated ``confirmed``, None when there are no such looks."""
    looks = city.looks[check]
    ends = [position for position, look in enumerate(looks) if look.wall == confirmed]
    for end in reversed(ends):
        for begin in range(end, -1, -1):
            if looks[begin].wall == at:
                return looks[begin : end + 1]
    return None


def _may_be_lost(city, check, look):
    """Return whether a look came so late in a life that it may have gone with it, or its row was not taken."""
    if city.ways("refused", check).at(look.at):
        return True
    ends = [end for _, end, life in city.running if life == look.life]
    return not ends or look.at > max(ends) - SLACK


def outages_are_incidents(city):
    """What was bad for long enough to be believed is an incident that was open then, whatever was away when it began."""
    incidents, twice = {}, shown_twice(city)
    for check, subject, opened, closed in city.rows("SELECT check_id, subject, opened_ms, closed_ms FROM incident"):
        incidents.setdefault((check, subject), []).append((opened, closed))
    for identity, stretches in zones(city).items():
        for zone in stretches:
            moment = city.wall_at(zone.believed) if zone.end - BLIND > zone.believed else None
            if zone.shows not in {"down", "degraded"} or moment is None:
                continue
            if any(low <= moment < high for low, high in twice):
                continue
            if not any(
                opened <= moment and (closed is None or closed >= moment)
                for name in names_of(identity[0])
                for opened, closed in incidents.get((name, identity[1]), ())
            ):
                yield f"incidents: {identity} is {zone.shows} from {zone.start / HOUR:.4f} h on, and no incident says so"


def shown_twice(city):
    """Return the stretches of the wall clock through which the centre may have come twice, and what looks of the first time vouch for."""
    back = [
        (city.wall_at(moment) - 10_000, city.wall_at(moment) + earlier - offset + VOUCHED)
        for (_, earlier), (moment, offset) in pairwise(city.offsets)
        if offset < earlier
    ]
    return merge(back)


def wall_until(city, moment):
    """Return what the wall clock showed just before a moment, at which it may have been set."""
    return city.wall_at(min(moment, city.at) - 0.001)


def _when(city, zone, stretches):
    start, end = stretches[0]
    begun = zone.start + (start - city.wall_at(zone.start)) / 1000
    return f"for {(end - start) / 1000:.0f} s from {begun / HOUR:.4f} h on ({start})"


INVARIANTS = (
    ledger_is_the_script,
    nothing_is_claimed_of_gaps,
    spans_lie_side_by_side,
    flips_are_justified,
    flips_are_the_scripts,
    half_of_all_looks_is_seen,
    states_are_the_last_flips,
    outages_are_incidents,
    looks_are_punctual,
)
