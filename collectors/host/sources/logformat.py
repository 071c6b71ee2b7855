"""Formats of web servers' access logs: what one line tells of one request."""

import math
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

# The servers' own defaults, and those that are usual with them; source: nginx' ngx_http_log_module, Apache's mod_log_config.
# In the order in which they are tried, as the ones with fewer values fit lines of those with more. A whole number at the end is
# a time only behind a name and port at the beginning, which only Apache writes; elsewhere no line tells its unit
NAMED: Final = {
    "vhost_combined_time": '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i" %D',
    "vhost_combined": '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
    "combined_time": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    ' "$http_referer" "$http_user_agent" $request_time',
    "combined_host_time": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    ' "$http_referer" "$http_user_agent" $host $request_time',
    "main": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    ' "$http_referer" "$http_user_agent" "$http_x_forwarded_for"',
    "combined": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    ' "$http_referer" "$http_user_agent"',
    "common": '%h %l %u %t "%r" %>s %b',
}
AUTO: Final = "auto"
JSON: Final = "json"
_ADDRESS, _AGENT, _BYTES, _HOST, _STATUS, _TIME = "address", "agent", "bytes", "host", "status", "time"
_FORWARDED: Final = "forwarded"
_SECONDS: Final = "seconds"  # Apache's %T, which are whole ones
_USERS: Final = {"remote_user", "u"}
_NGINX: Final = {
    "remote_addr": _ADDRESS, "http_x_forwarded_for": _FORWARDED, "http_user_agent": _AGENT, "host": _HOST,
    "server_name": _HOST, "http_host": _HOST, "body_bytes_sent": _BYTES, "bytes_sent": _BYTES, "status": _STATUS,
    "request_time": _TIME,
}  # fmt: skip
_APACHE: Final = {
    "h": _ADDRESS, "a": _ADDRESS, "{User-Agent}i": _AGENT, "{User-agent}i": _AGENT, "v": _HOST, "V": _HOST,
    "{Host}i": _HOST, "{X-Forwarded-For}i": _FORWARDED, "O": _BYTES, "B": _BYTES, "b": _BYTES, "s": _STATUS,
    "D": "microseconds", "T": _SECONDS, "{s}T": _SECONDS, "{us}T": "microseconds", "{ms}T": "milliseconds",
}  # fmt: skip
# names that programs give these in JSON, with those around them (Caddy has most of it in "request"); the first one that is there
# counts
_KEYS: Final = {
    _STATUS: ("status", "status_code", "code"),
    _HOST: ("host", "vhost", "server_name", "http_host", "request.host"),
    _ADDRESS: (
        *("remote_addr", "remote_ip", "client_ip", "clientip", "client"),
        *("request.client_ip", "request.remote_ip"),
    ),
    _FORWARDED: ("http_x_forwarded_for", "x_forwarded_for", "request.headers.X-Forwarded-For"),
    _AGENT: ("http_user_agent", "user_agent", "agent", "request.headers.User-Agent"),
    _BYTES: ("body_bytes_sent", "bytes_sent", "bytes", "size"),
    _TIME: ("request_time", "duration"),
}
_TOKEN: Final = re.compile(r"\$(\w+)|\$\{(\w+)\}|%[<>]?(\{[^}]+\}\w|[a-zA-Z])|%%")
_WHOLE: Final = r"\d+|-"
_VALUES: Final = {
    _STATUS: r"\d{3}",
    _BYTES: _WHOLE,
    _SECONDS: _WHOLE,
    "microseconds": _WHOLE,
    "milliseconds": _WHOLE,
}
_FRACTION: Final = r"\d+\.\d+|-"
# names of people may hold blanks; the bound is against lines made to be slow
_USER: Final = r".{0,256}?"
_SHARES: Final = {_TIME: 1.0, _SECONDS: 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}
UNITS: Final = {"": 0.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in one unit of a whole number that does not say what it is; with "" it is not read."""


class Request(msgspec.Struct, frozen=True):
    """One request: status, body or transferred ``bytes``, ``seconds`` it took (None: not in the log), who asked for which host."""

    status: int
    bytes: int
    seconds: float | None
    host: str
    address: str
    agent: str


Reader = Callable[[str], Request | None]


def readers(name: str, unit: str = "") -> tuple[Reader, ...]:
    """Return what reads lines of the format ``name``: one of NAMED, ``json``, ``auto`` (whichever of them fits), or a format.

    A format is nginx's (``$host $status ...``) or Apache's (``%v %>s ...``). A reader returns None for a line that does not fit.
    Durations of nginx and in JSON are seconds where they have a decimal point; ``unit`` (one of UNITS) is that of whole numbers.
    Raises ValueError for what is none of these or lacks the status.
    """
    share = UNITS[unit]

    def from_json(line: str) -> Request | None:
        return _from_json(line, share)

    if name == AUTO:
        return (from_json, *(_compiled(known, share) for known in NAMED.values()))
    if name == JSON:
        return (from_json,)
    return (_compiled(NAMED.get(name, name), share),)


def _compiled(text: str, share: float) -> Reader:
    known = ", ".join((AUTO, JSON, *NAMED))
    found = list(_TOKEN.finditer(text))
    times = rf"{_WHOLE}|{_FRACTION}" if share else _FRACTION
    pattern, groups, place = "", list[str](), 0
    for token in found:
        pattern += re.escape(text[place : token.start()])
        place = token.end()
        variable, letter = token[1] or token[2], token[3]
        name = _NGINX.get(variable, "") if variable else _APACHE.get(letter or "", "")
        value = times if name == _TIME else _VALUES.get(name) or _free(variable or letter, text[place : place + 1])
        if token[0] == "%%":
            pattern += "%"
        elif name and name not in groups:
            groups.append(name)
            pattern += f"(?P<{name}>{value})"
        else:
            pattern += f"(?:{value})"
    if _STATUS not in groups:
        raise ValueError(f"expected one of {known}, or a format with $status (nginx) or %>s (Apache), got {text!r}")
    match = re.compile(pattern + re.escape(text[place:]) + r"(?: .*)?").fullmatch
    durations = [name for name in _SHARES if name in groups]

    def read(line: str) -> Request | None:
        if (fit := match(line)) is None:
            return None
        told = fit.groupdict(default="")
        size = told.get(_BYTES, "")
        duration = next((name for name in durations if told[name] not in {"", "-"}), "")
        whole = duration == _TIME and told[duration].isdecimal()
        return Request(
            int(told[_STATUS]),
            int(size) if size.isdigit() else 0,
            float(told[duration]) * (share if whole else _SHARES[duration]) if duration else None,
            told.get(_HOST, ""),
            _visitor(told.get(_FORWARDED, ""), told.get(_ADDRESS, "")),
            told.get(_AGENT, ""),
        )

    return read


def _free(variable: str, after: str) -> str:
    """Return the pattern of a value that ends where ``after`` begins; quotes inside it are escaped."""
    if variable == "t":
        return r"\[[^\]]*\]"
    if after == '"':
        return r'[^"\\]*(?:\\.[^"\\]*)*'
    if variable in _USERS and after == " ":
        return _USER
    return rf"[^{re.escape(after)}]*" if after else r"\S*"


def _visitor(forwarded: str, address: str) -> str:
    """Return the address behind a proxy where the log has it; who makes one up only changes the number of visitors."""
    first = forwarded.partition(",")[0].strip()
    return address if first in {"", "-"} else first


def _from_json(line: str, share: float) -> Request | None:
    if not line.startswith("{"):
        return None
    try:
        told: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        found = {name: next(filter(None, (_text(told, key) for key in keys)), "") for name, keys in _KEYS.items()}
        status = int(found[_STATUS])
        duration = found[_TIME].strip("-")
        seconds = float(duration) * (share if duration.isdecimal() else 1.0) if duration else None
        if not 0 <= (seconds or 0.0) < math.inf:
            return None
    except (msgspec.DecodeError, ValueError):
        return None
    size = found[_BYTES]
    if duration.isdecimal() and not share:
        seconds = None
    address = _visitor(found[_FORWARDED], found[_ADDRESS])
    return Request(status, int(size) if size.isdigit() else 0, seconds, found[_HOST], address, found[_AGENT])


def _text(told: Any, path: str) -> str:
    """Return what stands under a name, or under names in one another (``request.host``), as text; "" when nothing plain does."""
    if path in told:
        value = told[path]
    else:
        first, _, rest = path.partition(".")
        value = told.get(first)
        if rest and isinstance(value, dict):
            return _text(value, rest)
        if rest:
            return ""
    if isinstance(value, list):  # a header may come more than once
        value = next(iter(value), "")
    return "" if value is None or isinstance(value, dict | list) else str(value)
