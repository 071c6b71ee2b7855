"""Which charts exist, and how they ask the store. Titles and labels are translated by whoever shows them."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

import msgspec

from alerts.i18n.catalogue import gettext_noop
from server.store import Aggregate, Latest, Range, Series, Store

_SECOND: Final = 1_000_000_000
_MS: Final = 1_000_000
_BITS: Final = 8.0
_MOST_LINES: Final = 12
_GAP_STEPS: Final = 3
# what the centre itself found has no tag host; what others wrote is no finding of ours, and the ingest refuses it without one
_BY_CENTRE: Final = {"host": ""}

# how far back, and the step that gives about 300 points; but for the newest, never finer than most things are measured
SPANS: Final[dict[str, tuple[int, int]]] = {
    "15m": (900, 10),
    "1h": (3600, 60),
    "6h": (6 * 3600, 60),
    "24h": (24 * 3600, 300),
    "7d": (7 * 86400, 1800),
    "30d": (30 * 86400, 7200),
}
DEFAULT_SPAN: Final = "24h"


def fitting(age: float) -> str:
    """Return the span for what is known since ``age`` seconds: the shortest that shows all of it, at most the usual one."""
    return next((name for name, (length, _) in SPANS.items() if age <= length or name == DEFAULT_SPAN), DEFAULT_SPAN)


class Line(msgspec.Struct, frozen=True):
    """One question of a chart. Values are multiplied by ``scale``; ``total`` adds the groups up into one line.

    Groups whose tag value is in ``without`` are left out.
    """

    label: str
    measurement: str
    field: str
    where: Mapping[str, str] = {}
    by: Sequence[str] = ()
    aggregate: Aggregate = Aggregate.MEAN
    scale: float = 1.0
    total: bool = False
    without: frozenset[str] = frozenset()


class Chart(msgspec.Struct, frozen=True):
    """A chart of lines in one unit (``units.unit_of``); ``top`` is the end of its scale, if it has one."""

    id: str
    title: str
    lines: Sequence[Line]
    top: float | None = None


class Drawn(msgspec.Struct, frozen=True):
    """A chart's numbers from ``start`` to ``end`` (s since epoch): common times, and each line's values or None at them.

    ``gap`` is how many seconds without a value are a gap and not just the pace of the measuring; ``left_out`` counts lines
    that were too many.
    """

    times: Sequence[float]
    lines: Sequence["DrawnLine"]
    gap: float
    start: float
    end: float
    left_out: int = 0


class DrawnLine(msgspec.Struct, frozen=True):
    """One line of a chart."""

    label: str
    group: str
    values: Sequence[float | None]


def of_host(name: str) -> list[Chart]:
    """Return the charts of a host that writes Telegraf's measurements."""
    here = {"host": name}
    whole = {**here, "cpu": "cpu-total"}

    def rate(label: str, measurement: str, field: str, by: str, scale: float = 1.0) -> Line:
        return Line(
            label, measurement, field, here, (by,), Aggregate.RATE, scale, total=True, without=frozenset({"lo", "all"})
        )

    usage = (
        (gettext_noop("aplikasi"), "usage_user"),
        (gettext_noop("sistem"), "usage_system"),
        (gettext_noop("menunggu disk"), "usage_iowait"),
    )
    loads = (
        (gettext_noop("1 menit"), "load1"),
        (gettext_noop("5 menit"), "load5"),
        (gettext_noop("15 menit"), "load15"),
    )
    return [
        Chart(
            "cpu",
            gettext_noop("Pemakaian CPU"),
            [Line(label, "cpu", field, whole) for label, field in usage],
            top=100,
        ),
        Chart(
            "mem",
            gettext_noop("Memori terpakai"),
            [
                Line(gettext_noop("memori"), "mem", "used_percent", here),
                Line(gettext_noop("swap"), "swap", "used_percent", here),
            ],
            top=100,
        ),
        Chart("disk", gettext_noop("Disk terpakai"), [Line("", "disk", "used_percent", here, ("path",))], top=100),
        Chart(
            "net",
            gettext_noop("Lalu lintas jaringan"),
            [
                rate(gettext_noop("masuk"), "net", "bytes_recv", "interface", _BITS),
                rate(gettext_noop("keluar"), "net", "bytes_sent", "interface", _BITS),
            ],
        ),
        Chart("load", gettext_noop("Beban sistem"), [Line(label, "system", field, here) for label, field in loads]),
        Chart(
            "diskio",
            gettext_noop("Baca dan tulis disk"),
            [
                Line(gettext_noop("baca"), "diskio", "read_bytes", here, ("name",), Aggregate.RATE),
                Line(gettext_noop("tulis"), "diskio", "write_bytes", here, ("name",), Aggregate.RATE),
            ],
        ),
    ]


def _polled(identity: str) -> dict[str, str]:
    """Return the tags of what the centre itself polled from a device."""
    return {"source": identity, **_BY_CENTRE}


def of_device(identity: str, port: str = "") -> list[Chart]:
    """Return the charts of a network device: one port by its ``ifName``, or all ports together."""
    where = _polled(identity) | ({"ifName": port} if port else {})

    def rate(label: str, field: str, scale: float = 1.0) -> Line:
        return Line(label, "interface", field, where, ("ifName",), Aggregate.RATE, scale, total=True)

    return [
        Chart(
            "traffic",
            gettext_noop("Lalu lintas antarmuka"),
            [rate(gettext_noop("masuk"), "ifHCInOctets", _BITS), rate(gettext_noop("keluar"), "ifHCOutOctets", _BITS)],
        ),
        Chart(
            "errors",
            gettext_noop("Galat antarmuka"),
            [rate(gettext_noop("masuk"), "ifInErrors"), rate(gettext_noop("keluar"), "ifOutErrors")],
        ),
    ]


def of_service(identity: str) -> list[Chart]:
    """Return the charts of a service: how long each of its checks took."""
    where = {"subject": f"service/{identity}", **_BY_CENTRE}
    return [Chart("took", gettext_noop("Waktu respons"), [Line("", "pantau_check", "took", where, ("check",))])]


def of_series(measurement: str, field: str, where: Mapping[str, str], by: Sequence[str], aggregate: Aggregate) -> Chart:
    """Return a chart of any series of the store."""
    return Chart("series", f"{measurement} · {field}", [Line("", measurement, field, where, by, aggregate)])


async def draw(store: Store, chart: Chart, span: str, now: int) -> Drawn:
    """Ask the store for a chart up to ``now`` (ms); StoreUnavailable passes through. Unknown spans are the usual one."""
    length, step = SPANS.get(span, SPANS[DEFAULT_SPAN])
    end = now * _MS
    start = (end - length * _SECOND) // (step * _SECOND) * (step * _SECOND)

    async def ask(line: Line) -> list[Series]:
        question = Range(
            measurement=line.measurement,
            field=line.field,
            start=start,
            end=end,
            step=step * _SECOND,
            aggregate=line.aggregate,
            where=line.where,
            by=line.by,
        )
        return list(await store.range(question))

    answers = await asyncio.gather(*(ask(line) for line in chart.lines))
    found = [pair for line, series in zip(chart.lines, answers, strict=True) for pair in _lines(line, series)]
    return _aligned(found, step, (start / _SECOND, end / _SECOND))


def _lines(line: Line, answer: Sequence[Series]) -> list[tuple[str, str, dict[int, float]]]:
    kept = [one for one in answer if not line.without.intersection(one.tags.values())]
    if line.total and kept:
        values: dict[int, float] = {}
        for one in kept:
            for time, value in zip(one.times, one.values, strict=True):
                values[time] = values.get(time, 0.0) + value * line.scale
        return [(line.label, "", values)]
    return [
        (
            line.label,
            " · ".join(one.tags[key] for key in line.by if one.tags.get(key)),
            {time: value * line.scale for time, value in zip(one.times, one.values, strict=True)},
        )
        for one in kept
    ]


def _aligned(found: Sequence[tuple[str, str, dict[int, float]]], step: int, period: tuple[float, float]) -> Drawn:
    biggest = sorted(found, key=lambda line: max(line[2].values(), default=0.0), reverse=True)[:_MOST_LINES]
    shown = [line for line in found if line in biggest]
    times = sorted({time for _, _, values in shown for time in values})
    paces = [later - earlier for _, _, values in shown for earlier, later in pairwise(sorted(values))]
    pace = max(step, median(paces) / _SECOND if paces else 0)
    return Drawn(
        times=[time / _SECOND for time in times],
        lines=[DrawnLine(label, group, [values.get(time) for time in times]) for label, group, values in shown],
        gap=_GAP_STEPS * pace,
        start=period[0],
        end=period[1],
        left_out=len(found) - len(shown),
    )


class Gauges(msgspec.Struct, frozen=True):
    """The newest numbers of a host in percent: processor and memory in use, and its fullest file system."""

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None


async def gauges(store: Store, now: int) -> dict[str, Gauges]:
    """Return the newest numbers of every host that wrote in the last ten minutes; StoreUnavailable passes through."""
    since = (now - 600_000) * _MS
    cpu, memory, disks = await asyncio.gather(
        store.latest("cpu", ["usage_idle"], since=since, where={"cpu": "cpu-total"}),
        store.latest("mem", ["used_percent"], since=since),
        store.latest("disk", ["used_percent"], since=since),
    )
    idle, used = _by_host(cpu, "usage_idle"), _by_host(memory, "used_percent")
    fullest = _by_host(disks, "used_percent")
    return {
        host: Gauges(cpu=100 - idle[host] if host in idle else None, memory=used.get(host), disk=fullest.get(host))
        for host in {*idle, *used, *fullest}
    }


def _by_host(found: Sequence[Latest], field: str) -> dict[str, float]:
    """Return host -> its highest value; a text where a number belongs says nothing."""
    highest: dict[str, float] = {}
    for one in found:
        host, value = one.tags.get("host", ""), _number(one.fields.get(field))
        if value is not None:
            highest[host] = max(highest.get(host, value), value)
    return highest


def _number(value: object) -> float | None:
    # anybody with a token may have written the field first, and as a text
    return float(value) if isinstance(value, (int, float)) else None


class Port(msgspec.Struct, frozen=True):
    """One interface of a device as last polled; rates are bit/s over the last five minutes with data, ``speed`` is bit/s."""

    name: str
    description: str
    up: bool | None
    enabled: bool | None
    speed: float | None
    inward: float | None
    outward: float | None


async def ports(store: Store, identity: str, now: int) -> list[Port]:
    """Return the interfaces of a device in the order of their index; StoreUnavailable passes through."""
    since, end = (now - 900_000) * _MS, now * _MS
    where = _polled(identity)
    asked = ["ifOperStatus", "ifAdminStatus", "ifHighSpeed", "ifSpeed"]

    def rate(field: str) -> Range:
        return Range("interface", field, since, end, 300 * _SECOND, Aggregate.RATE, where, ("ifName",))

    known, inward, outward = await asyncio.gather(
        store.latest("interface", asked, since=since, where=where),
        store.range(rate("ifHCInOctets")),
        store.range(rate("ifHCOutOctets")),
    )
    rates = [{one.tags.get("ifName", ""): one.values[-1] * _BITS for one in answer} for answer in (inward, outward)]
    found = []
    for one in known:
        name = one.tags.get("ifName", "")
        mega, plain = _number(one.fields.get("ifHighSpeed")), _number(one.fields.get("ifSpeed"))
        speed = mega * 1e6 if mega else plain or None
        found.append(
            Port(
                name=name,
                description=one.tags.get("ifAlias") or one.tags.get("ifDescr", ""),
                up=_is_up(one.fields.get("ifOperStatus")),
                enabled=_is_up(one.fields.get("ifAdminStatus")),
                speed=speed,
                inward=rates[0].get(name),
                outward=rates[1].get(name),
            )
        )
    return sorted(found, key=lambda port: _natural(port.name))


def _is_up(value: object) -> bool | None:
    return None if value is None else value in {1, "up", "1"}  # 1 is up(1) of IF-MIB


def _natural(name: str) -> list[tuple[int, str]]:
    digits = "".join(letter if letter.isdecimal() else " " for letter in name).split()
    words = "".join(" " if letter.isdecimal() else letter for letter in name).split()
    return [*((0, word) for word in words[:1]), *((int(number[:18]), "") for number in digits)]


async def uptime(store: Store, identity: str, now: int) -> float | None:
    """Return how many seconds a device has been up, as last polled; StoreUnavailable passes through."""
    since = (now - 900_000) * _MS
    known = await store.latest("device", ["sysUpTime"], since=since, where=_polled(identity))
    told = (_number(one.fields.get("sysUpTime")) for one in known)
    return max((seconds for seconds in told if seconds is not None), default=None)


async def tags(store: Store, measurement: str, field: str, now: int) -> dict[str, list[str]]:
    """Return the tags of the series that had the field in the last thirty days, each with its values, sorted."""
    since = (now - 30 * 86_400_000) * _MS
    found: dict[str, set[str]] = {}
    for one in await store.latest(measurement, [field], since=since):
        for tag, value in one.tags.items():
            found.setdefault(tag, set()).add(value)
    return {tag: sorted(found[tag]) for tag in sorted(found)}
