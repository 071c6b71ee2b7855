"""Invariants of messages: what people have of an incident, as the providers remember it, against what was owed.

Each yields words of what is wrong, beginning with its own name.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from simulation.bookkeeping import shown_twice
from simulation.script import HOUR
from simulation.settings import PEOPLE

CLOSINGS = {"recovery", "brief"}
BAD = "to_status IN ('degraded', 'down')"  # of blindness nobody is told yet
OPENED = (
    f"SELECT i.id, i.opened_ms, i.confirmed_ms FROM incident i JOIN flip f ON f.incident_id = i.id AND {BAD}"
    " AND f.confirmed_ms = i.confirmed_ms"
)
PROMPT = 90.0  # seconds from a confirmed flip to its message, where its channel works: the courier may sleep a minute


class Line(NamedTuple):
    """What one person has to hear of one incident on one channel: rows of the outbox, and arrivals in their order."""

    incident: tuple
    rows: list
    arrivals: list

    def of(self, kinds):
        """Return the arrivals of some kinds, each message once."""
        return {arrival.key: arrival for arrival in reversed(self.arrivals) if arrival.kind in kinds}


def nothing_waits(city):
    """When all is well again, nothing that was owed waits for ever."""
    query = "SELECT id, kind, channel, status, attempt, last_error FROM outbox WHERE status IN ('queued', 'leased')"
    for row in city.rows(query):
        yield f"owed: message {row} still waits"


def nothing_is_lost(city):
    """Every incident is owed to everybody on every channel, and what is given up has a reason."""
    owed = defaultdict(set)
    for incident, channel, recipient in city.rows("SELECT incident_id, channel, recipient FROM outbox"):
        owed[incident].add((channel.removesuffix("-2"), recipient))
    least = {(name, PEOPLE[0]) for name in city.providers}
    for (incident,) in city.rows(f"SELECT DISTINCT incident_id FROM flip WHERE {BAD}"):
        if missing := least - owed[incident]:
            yield f"lost: incident {incident} is not owed to {sorted(missing)}"
    for row in city.rows(
        "SELECT id, kind, channel FROM outbox WHERE status = 'dead' AND coalesce(last_error, '') = ''"
    ):
        yield f"lost: message {row} is given up, and nothing says why"


def what_is_sent_arrived(city):
    """What counts as sent has arrived at the person."""
    keys = {arrival.key for provider in city.providers.values() for arrival in provider.arrived}
    for row, kind, channel, key in city.rows("SELECT id, kind, channel, idem_key FROM outbox WHERE status = 'sent'"):
        if key not in keys:
            yield f"lost: message {row} ({kind} on {channel}) counts as sent, and never arrived"


def nothing_is_doubled(city):
    """Nothing arrives twice where the channel refuses doubles; elsewhere what may be a double is marked, and has a cause."""
    for line in lines(city):
        keyed = city.providers[line.arrivals[0].channel].keyed if line.arrivals else False
        plain = [arrival for arrival in line.arrivals if not arrival.repeated]
        times = Counter(arrival.key for arrival in plain)
        doubtful = sum(uncertain for *_, uncertain in line.rows)
        if len(line.arrivals) > len(line.rows) and keyed:
            yield f"doubled: {_words(line)} arrived {len(line.arrivals)} times, and {len(line.rows)} were owed"
        if len(plain) > len(line.rows) or any(count > 1 for count in times.values()):
            yield f"doubled: {_words(line)} arrived {len(plain)} times unmarked, and {len(line.rows)} were owed"
        if len(line.arrivals) - len(plain) > doubtful:
            yield f"doubled: {_words(line)} are marked as doubles, and no answer was lost"


def each_problem_is_closed_once(city):
    """Who got a problem gets one closing once it is over, and not before; who got none gets none, or one that tells of both."""
    for line in lines(city):
        number, closed, why = line.incident
        problems, closings = line.of({"problem", "update"}), line.of(CLOSINGS)
        dead = [error for _, kind, status, error, _ in line.rows if kind in CLOSINGS and status == "dead"]
        if closed is None and closings:
            yield f"closing: {_words(line)} was closed before it was over"
        if len(closings) > 1:
            yield f"closing: {_words(line)} was closed {len(closings)} times"
        if problems and closed is not None and not closings and not dead:
            yield f"closing: {_words(line)} arrived, and its end ({why}) never did"
        may_have = any(uncertain for _, kind, *_, uncertain in line.rows if kind not in CLOSINGS)
        if not problems and not may_have and any(arrival.kind == "recovery" for arrival in closings.values()):
            yield f"closing: the end of incident {number} arrived, and its beginning never did"


def messages_are_in_order(city):
    """Of one incident to one person, nothing arrives for the first time after its closing."""
    for line in lines(city):
        first = {}
        for arrival in line.arrivals:
            first.setdefault(arrival.key, arrival)
        kinds = [arrival.kind for arrival in sorted(first.values(), key=lambda arrival: arrival.at)]
        if any(kind in CLOSINGS for kind in kinds[:-1]):
            yield f"order: {_words(line)} arrived as {kinds}"


def messages_are_prompt(city):
    """Where channel and centre work, a flip is told within seconds."""
    moods = {name: city.ways("channel", name) for name in city.providers}
    told = defaultdict(list)
    for name, provider in city.providers.items():
        for arrival in provider.arrived:
            told[name, arrival.thread].append(arrival.at)
    for number, opened, confirmed in city.rows(OPENED):
        if any(low <= confirmed < high for low, high in shown_twice(city)):
            continue
        for start, end, _life in city.running:
            moment = start + (confirmed - city.wall_at(start)) / 1000
            if not start + PROMPT < moment < end - PROMPT:
                continue
            for name, mood in moods.items():
                calm = [
                    how for low, high, how in mood.stretches(city.at) if low < moment + PROMPT and high > moment - HOUR
                ]
                times = [at for at in told[name, f"incident-{number}-{opened}"] if at >= moment - 1]
                if (
                    calm == ["well"]
                    and city.calm(moment - HOUR, moment + PROMPT)
                    and not any(at < moment + PROMPT for at in times)
                ):
                    yield f"prompt: incident {number}, confirmed at {moment / HOUR:.4f} h, was not told on {name} within {PROMPT:.0f} s"


def patience_is_kept(city):
    """A channel that asks for patience is left alone for that long, through kills and clocks that step."""
    for provider in city.providers.values():
        for asked, until, came in provider.hurried:
            if not city.stepped(asked, until) and not city.renamed(asked, came):
                asked_for, came_after = f"{until - asked:.0f} s", f"{came - asked:.0f} s"
                yield f"patience: {provider.name} asked at {asked / HOUR:.4f} h for {asked_for}, and was asked after {came_after}"


def lines(city):
    """Return what each person on each channel had to hear of each incident."""
    rows, arrivals = defaultdict(list), defaultdict(list)
    query = "SELECT incident_id, channel, recipient, id, kind, status, last_error, uncertain FROM outbox ORDER BY id"
    for incident, channel, recipient, *row in city.rows(query):
        rows[incident, channel.removesuffix("-2"), recipient].append(row)
    incidents = {
        number: (number, closed, why)
        for number, closed, why in city.rows("SELECT id, closed_ms, close_reason FROM incident")
    }
    for provider in city.providers.values():
        for arrival in provider.arrived:
            number = int(arrival.thread.split("-")[1])
            arrivals[number, arrival.channel, arrival.recipient].append(arrival)
    for identity in rows.keys() | arrivals.keys():
        yield Line(incidents.get(identity[0], (identity[0], None, None)), rows[identity], arrivals[identity])


def _words(line):
    arrival = line.arrivals[0]
    return f"incident {line.incident[0]} to {arrival.recipient} on {arrival.channel}"


INVARIANTS = (
    nothing_waits,
    nothing_is_lost,
    what_is_sent_arrived,
    nothing_is_doubled,
    each_problem_is_closed_once,
    messages_are_in_order,
    messages_are_prompt,
    patience_is_kept,
)
