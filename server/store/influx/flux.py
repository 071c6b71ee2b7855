"""What only the management API of InfluxDB 2 takes: addresses and tasks in Flux. Pure text."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from server.store.influx.ql import KEPT, ROLLED

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "$": r"\$"})


def query(**parameters: str) -> str:
    """Write the parameters of an address; empty ones are left out."""
    return urlencode({name: value for name, value in parameters.items() if value})


def text(value: str) -> str:
    """Quote a text."""
    return f'"{value.translate(_ESCAPES)}"'


def predicate(measurement: str, where: Mapping[str, str]) -> str:
    """Write which series are meant, as deletions take it."""
    return " AND ".join(f"{name}={text(value)}" for name, value in {"_measurement": measurement, **where}.items())


def moment(time: int) -> str:
    """Write a time (ns) as RFC 3339, to the nanosecond."""
    seconds, rest = divmod(time, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def roll_up(bucket: str, rolled: str, name: str, late_days: int) -> str:
    """Write the task that rolls up, once a day, the hours of two days that are ``late_days`` old; a run that failed is made up for."""
    lines = [
        'import "date"',
        'import "types"',
        "",
        f"option task = {{name: {text(name)}, every: 1d, offset: 30m}}",
        "",
        f"stop = date.sub(d: {late_days}d, from: date.truncate(t: now(), unit: {ROLLED}))",
        f"values = from(bucket: {text(bucket)}) |> range(start: date.sub(d: 2d, from: stop), stop: stop)",
        "numbers = values |> filter(fn: (r) => types.isNumeric(v: r._value))",
        'flags = values |> filter(fn: (r) => types.isType(v: r._value, type: "bool"))',
        "bits = flags |> map(fn: (r) => ({r with _value: if r._value then 1 else 0}))",
        "",
    ]
    for kept in KEPT:
        source = "values" if kept in {"count", "last"} else "numbers"
        lines.append(_kept(source, kept, "", rolled))
        if kept in {"min", "max"}:
            lines.append(_kept("bits", kept, "_value: r._value == 1, ", rolled))
    return "\n".join(lines) + "\n"


def _kept(source: str, kept: str, back: str, rolled: str) -> str:
    return (
        f'{source} |> aggregateWindow(every: {ROLLED}, fn: {kept}, createEmpty: false, timeSrc: "_start")'
        f' |> map(fn: (r) => ({{r with {back}_field: "{kept}_" + r._field}})) |> to(bucket: {text(rolled)})'
    )
