"""What a client is told when its write is not taken, or not whole: in the words and shape of the InfluxDB whose path it used."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from collectors.linereader import LineError
from server.store import Rejected

_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    408: "request timeout",
    413: "request too large",
    422: "unprocessable entity",
    429: "too many requests",
    503: "unavailable",
    507: "insufficient storage",
}
_SHOWN_LINES: Final = 10
_SHOWN_TEXT: Final = 200
_SHOWN_HEADER: Final = 1000
# stores tell of many points at once in InfluxDB's own words
_COUNTED: Final = re.compile(r"(?:partial write: )?(.*) dropped=(\d+)", re.DOTALL)


class Refused(Exception):
    """A write that is not taken, or not whole: HTTP status, why, seconds to wait, and the first bad line."""

    def __init__(self, status: int, why: str, *, retry: int | None = None, line: LineError | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry = retry
        self.line = line


def as_v2(refused: Refused) -> web.Response:
    """Answer as InfluxDB 2: ``{"code", "message"}``, and line and column of a malformed line."""
    code = _CODES[refused.status]
    body: dict[str, str | int] = {"code": code, "message": refused.why}
    if refused.line is not None:
        body |= {"line": refused.line.line, "column": refused.line.column}
    return _answer(refused, body, {"X-Platform-Error-Code": code})


def as_v1(refused: Refused) -> web.Response:
    """Answer as InfluxDB 1: ``{"error"}``, which stands in a header too."""
    if refused.status == 401:  # noqa: PLR2004 - Unauthorized
        return _answer(refused, {"error": refused.why}, {"WWW-Authenticate": 'Basic realm="InfluxDB"'})
    return _answer(refused, {"error": refused.why}, {"X-Influxdb-Error": in_header(refused.why)})


def in_header(text: str) -> str:
    """Return a text as a header may hold it: printable ASCII on one line, and short, for proxies that refuse longer ones."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(text.split()))
    return shown if len(shown) <= _SHOWN_HEADER else f"{shown[: _SHOWN_HEADER - 3]}..."


def _answer(refused: Refused, body: Mapping[str, str | int], headers: Mapping[str, str]) -> web.Response:
    later = {} if refused.retry is None else {"Retry-After": str(refused.retry)}
    return web.json_response(body, status=refused.status, headers={**headers, **later})


def unable(errors: Sequence[LineError]) -> str:
    """Name malformed lines, the first of them only."""
    lines = [
        f"unable to parse '{error.text[:_SHOWN_TEXT]}': {error.why[:_SHOWN_TEXT]}" for error in errors[:_SHOWN_LINES]
    ]
    more = len(errors) - len(lines)
    return "\n".join(lines + [f"and {more} more"] * (more > 0))


def partial(rejected: Sequence[Rejected]) -> str:
    """Return why fields or points were not written, each reason once, and how many."""
    reasons = list(dict.fromkeys(found[1] if (found := _COUNTED.fullmatch(one.why)) else one.why for one in rejected))
    return f"partial write: {'; '.join(reasons[:_SHOWN_LINES])} dropped={dropped(rejected)}"


def dropped(rejected: Sequence[Rejected]) -> int:
    """Count what was not written: a reason without a number stands for one field."""
    return sum(int(found[2]) if (found := _COUNTED.fullmatch(one.why)) else 1 for one in rejected)
