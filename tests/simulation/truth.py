"""What really was in a made city, from its script: how each subject stood, and where the centre must have seen it so.

Times are seconds of the city; those of ledger and flips are brought to them by ``City.wall_at``, and never the other way round: a wall
clock that was set back shows some times twice.
"""

import itertools
from math import inf

import msgspec
from simulation.city import PULSE
from simulation.script import SHOWS
from simulation.settings import HOLD, RULE, STALE, UNSTABLE, WINDOW

SLACK = 16.0  # seconds: a look that lasts as long as it may, its judging, and what the loop comes late
HANGS = 65.0  # seconds that a look which hangs keeps its round
BLIND = (
    30.0  # seconds at the edge of a stretch in which the centre ran: its signs of life, and what a kill may take along
)


# what each rule of the family says of a disk
DISK = {
    "rule/full": {"room": "up", "full": "degraded", "overfull": "degraded"},
    "rule/overfull": {"room": "up", "full": "up", "overfull": "down"},
}
KINDS = {"up", "degraded", "down", "every second"}


class Zone(msgspec.Struct, frozen=True):
    """A stretch in which a subject stood in one way and the centre ran undisturbed, under one set of terms.

    From ``sure`` on the centre has seen it so; from ``believed`` on it must believe it, if the stretch is that long. ``shows`` is
    "up", "degraded", "down", "every second" (look fails), or "unknown" where nobody could tell.
    ``whole`` numbers the stretches of the script that zones belong to.
    """

    check: str
    subject: str
    shows: str
    start: float
    sure: float
    believed: float
    end: float
    interval: float
    whole: int


def zones(city):
    """Return every zone of every subject, in order of time, by (check, subject)."""
    found = {}
    for name in city.place.services:
        stretches = _answers(city.ways("service", name).stretches(city.at), city.running)
        stretches = _where_taken(stretches, city.ways("refused", name).stretches(city.at))
        found[name, f"service/{name}"] = _zones(
            city, name, f"service/{name}", stretches, city.terms[name], _needs_of_a_check
        )
    always = [(0.0, (RULE, 1, 1))]
    for host in city.place.hosts:
        subject = f"host/{host}"
        found["rule/silent", subject] = _zones(
            city, "rule/silent", subject, _silence(city, host), always, _needs_of_silence
        )
        disk = _disk(city, host)
        for rule, shows in DISK.items():
            shown = _joined((start, end, shows.get(way, way)) for start, end, way in disk)
            grouped = [(since, (RULE, 1, 1)) for since in city.regrouped]  # what is broken begins anew then
            found[rule, subject] = _zones(city, rule, subject, shown, grouped, _needs_of_a_disk)
    return found


def _where_taken(stretches, refused):
    """Return what a service shows, and "any" while its row is not taken."""
    edges = sorted({edge for part in (*stretches, *refused) for edge in part[:2]})
    found = []
    for start, end in itertools.pairwise(edges):
        shows = next((way for low, high, way in stretches if low <= start < high), None)
        if shows is not None:
            away = any(way for low, high, way in refused if low <= start < high)
            found.append((start, end, "any" if away else shows))
    return _joined(found)


def _answers(stretches, running):
    """Return what a service shows; a look that hung is over some time after the service answers again, if the centre lives it."""
    found, over = [], 0.0
    for start, end, way in stretches:
        free = max(start, min(over, end))
        found += [(start, free, "any"), (free, end, SHOWS.get(way, way))]
        over = _lived(running, end, HANGS) if way == "hang" else over
    return [part for part in found if part[0] < part[1]]


def _lived(running, moment, seconds):
    """Return when the centre has lived so many seconds after a moment."""
    for low, high, _ in running:
        begin = max(low, moment)
        if high - begin >= seconds:
            return begin + seconds
        seconds -= max(high - begin, 0.0)
    return inf


def _needs_of_a_check(shows, interval, confirm, recover):
    """Return the seconds until a status must have been seen, and until it must be believed."""
    if shows in {"raise", "hang", "unknown"}:
        return interval + SLACK, interval + SLACK
    if shows == "every second":
        return interval + SLACK, (interval + SLACK) * (2 * UNSTABLE[0] + 1)
    looks = recover if shows == "up" else confirm
    return interval + SLACK, (interval + SLACK) * (looks + 1)


def _needs_of_silence(shows, interval, _confirm, _recover):
    # the centre must have listened for as long as the window before it says anything
    heard = WINDOW if shows == "down" else PULSE
    return heard + interval + SLACK, heard + 2 * interval + SLACK


def _needs_of_a_disk(shows, interval, _confirm, _recover):
    held = HOLD if shows in {"degraded", "down"} else 0.0
    return PULSE + interval + SLACK, PULSE + held + 2 * interval + SLACK


def _zones(city, check, subject, stretches, terms, needs):
    found = []
    for whole, (start, end, shows) in enumerate(stretches):
        if shows == "any":
            continue
        for low, high, _life in city.running:
            for position, (since, term) in enumerate(terms):
                until = terms[position + 1][0] if position + 1 < len(terms) else high
                first, last = max(start, low, since), min(end, high, until)
                if term is None or first >= last:
                    continue
                sure, believed = needs(shows, *term)
                kind = shows if shows in KINDS else "unknown"
                part = whole if check not in DISK else whole * 1000 + position
                found.append(Zone(check, subject, kind, first, first + sure, first + believed, last, term[0], part))
    return found


def _silence(city, host):
    """Return how a host stands by the rule of absence: down once its silence was longer than the window."""
    parts = []
    for start, end, way in city.ways("host", host).stretches(city.at):
        if way == "writes":
            parts.append((start, end, "up"))
            continue
        known = min(start + WINDOW + 2 * PULSE, end)
        parts += [(start, known, "any"), (known, end, "down")]
    return [part for part in parts if part[0] < part[1]]


def _disk(city, host):
    """Return how full the disk of a host is by what is written: unknown once its last value is too old."""
    parts = []
    writes, disk, store = city.ways("host", host), city.ways("disk", host), city.ways("store", "")
    edges = sorted({0.0, city.at, *writes.edges, *disk.edges, *store.edges})
    silent_since = None
    for start, end in itertools.pairwise(edges):
        if end > city.at:
            break
        if writes.at(start) == "writes":
            silent_since = None
        if store.at(start):
            parts.append((start, end, "unknown"))
            continue
        if silent_since is None and writes.at(start) == "writes":
            parts.append((start, end, disk.at(start)))
            continue
        silent_since = start if silent_since is None else silent_since
        known = min(max(start, silent_since + STALE + 2 * PULSE), end)
        parts += [(start, known, "any"), (known, end, "unknown")]
    return _joined(part for part in parts if part[0] < part[1])


def _joined(parts):
    joined = []
    for start, end, shows in parts:
        if joined and joined[-1][2] == shows:
            joined[-1] = (joined[-1][0], end, shows)
        else:
            joined.append((start, end, shows))
    return joined
