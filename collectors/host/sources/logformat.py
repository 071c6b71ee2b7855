"""Formats of web servers' access logs: what one line tells of one request."""

import math
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

# The servers' own defaults, and those that are usual with them; source: nginx' ngx_http_log_module, Apache's mod_log_config.
# In the order in which they are tried, as the ones with fewer values fit lines of those with more
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
_NGINX: Final = {
    "remote_addr": _ADDRESS, "http_x_forwarded_for": _FORWARDED, "http_user_agent": _AGENT, "host": _HOST,
    "server_name": _HOST, "http_host": _HOST, "body_bytes_sent": _BYTES, "bytes_sent": _BYTES, "status": _STATUS,
    "request_time": _TIME,
}  # fmt: skip
_APACHE: Final = {
    "h": _ADDRESS, "a": _ADDRESS, "{User-Agent}i": _AGENT, "{User-agent}i": _AGENT, "v": _HOST, "V": _HOST,
    "{Host}i": _HOST, "{X-Forwarded-For}i": _FORWARDED, "O": _BYTES, "B": _BYTES, "b": _BYTES, "s": _STATUS,
    "D": "microseconds", "T": _TIME, "{us}T": "microseconds", "{ms}T": "milliseconds",
}  # fmt: skip
# names that programs give these in JSON; the first one that is there counts
_KEYS: Final = {
    _STATUS: ("status", "status_code", "code"),
    _HOST: ("host", "vhost", "server_name", "http_host"),
    _ADDRESS: ("remote_addr", "remote_ip", "client_ip", "clientip", "client"),
    _FORWARDED: ("http_x_forwarded_for", "x_forwarded_for"),
    _AGENT: ("http_user_agent", "user_agent", "agent"),
    _BYTES: ("body_bytes_sent", "bytes_sent", "bytes", "size"),
    _TIME: ("request_time", "duration"),
}
_TOKEN: Final = re.compile(r"\$(\w+)|\$\{(\w+)\}|%[<>]?(\{[^}]+\}\w|[a-zA-Z])|%%")
_VALUES: Final = {
    _STATUS: r"\d{3}",
    _BYTES: r"\d+|-",
    _TIME: r"\d+(?:\.\d+)?|-",
    "microseconds": r"\d+|-",
    "milliseconds": r"\d+|-",
}
_SHARES: Final = {_TIME: 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}


class Request(msgspec.Struct, frozen=True):
    """One request: status, body or transferred ``bytes``, ``seconds`` it took (None: not in the log), who asked for which host."""

    status: int
    bytes: int
    seconds: float | None
    host: str
    address: str
    agent: str


Reader = Callable[[str], Request | None]


def readers(name: str) -> tuple[Reader, ...]:
    """Return what reads lines of the format ``name``: one of NAMED, ``json``, ``auto`` (whichever of them fits), or a format.

    A format is nginx's (``$host $status ...``) or Apache's (``%v %>s ...``). A reader returns None for a line that does not fit.
    Raises ValueError for what is none of these or lacks the status.
    """
    if name == AUTO:
        return (_from_json, *map(_compiled, NAMED.values()))
    if name == JSON:
        return (_from_json,)
    return (_compiled(NAMED.get(name, name)),)


def _compiled(text: str) -> Reader:
    known = ", ".join((AUTO, JSON, *NAMED))
    found = list(_TOKEN.finditer(text))
    pattern, groups, place = "", list[str](), 0
    for token in found:
        pattern += re.escape(text[place : token.start()])
        place = token.end()
        variable, letter = token[1] or token[2], token[3]
        name = _NGINX.get(variable, "") if variable else _APACHE.get(letter or "", "")
        after = text[place : place + 1]
        value = _VALUES.get(name) or (r"\[[^\]]*\]" if letter == "t" else _free(after))
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
    times = [(name, share) for name, share in _SHARES.items() if name in groups]

    def read(line: str) -> Request | None:
        if (fit := match(line)) is None:
            return None
        told = fit.groupdict(default="")
        size = told.get(_BYTES, "")
        seconds = next((float(told[name]) * share for name, share in times if told[name] not in {"", "-"}), None)
        return Request(
            int(told[_STATUS]),
            int(size) if size.isdigit() else 0,
            seconds,
            told.get(_HOST, ""),
            _visitor(told.get(_FORWARDED, ""), told.get(_ADDRESS, "")),
            told.get(_AGENT, ""),
        )

    return read


def _free(after: str) -> str:
    """Return the pattern of a value that ends where ``after`` begins; quotes inside it are escaped."""
    if after == '"':
        return r'[^"\\]*(?:\\.[^"\\]*)*'
    return rf"[^{re.escape(after)}]*" if after else r"\S*"


def _visitor(forwarded: str, address: str) -> str:
    """Return the address behind a proxy where the log has it; who makes one up only changes the number of visitors."""
    first = forwarded.partition(",")[0].strip()
    return address if first in {"", "-"} else first


def _from_json(line: str) -> Request | None:
    if not line.startswith("{"):
        return None
    try:
        told: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        found = {name: next((told[key] for key in keys if key in told), None) for name, keys in _KEYS.items()}
        status = int(found[_STATUS])  # type: ignore[arg-type]
        seconds = None if found[_TIME] in {None, "", "-"} else float(found[_TIME])  # type: ignore[arg-type]
        size = str(found[_BYTES])
        if not 0 <= (seconds or 0.0) < math.inf:
            return None
    except (msgspec.DecodeError, TypeError, ValueError):
        return None
    texts = {name: str(found[name] or "") for name in (_HOST, _ADDRESS, _AGENT, _FORWARDED)}
    address = _visitor(texts[_FORWARDED], texts[_ADDRESS])
    return Request(status, int(size) if size.isdigit() else 0, seconds, texts[_HOST], address, texts[_AGENT])
