"""``apache``: what Apache's workers do, from the page of its module mod_status."""

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import dial
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_SECONDS: Final = 5
_BOARD: Final = "Scoreboard"
# source: the legend of mod_status' page
_WORKERS: Final = {
    "_": "scboard_waiting",
    "S": "scboard_starting",
    "R": "scboard_reading",
    "W": "scboard_sending",
    "K": "scboard_keepalive",
    "D": "scboard_dnslookup",
    "C": "scboard_closing",
    "L": "scboard_logging",
    "G": "scboard_finishing",
    "I": "scboard_idle_cleanup",
    ".": "scboard_open",
}
_FIELDS: Final = frozenset(
    {
        "BusyWorkers",
        "BytesPerReq",
        "BytesPerSec",
        "ConnsAsyncClosing",
        "ConnsAsyncKeepAlive",
        "ConnsAsyncWriting",
        "ConnsTotal",
        "CPUChildrenSystem",
        "CPUChildrenUser",
        "CPULoad",
        "CPUSystem",
        "CPUUser",
        "DurationPerReq",
        "IdleWorkers",
        "Load1",
        "Load5",
        "Load15",
        "Processes",
        "ReqPerSec",
        "Stopping",
        "TotalAccesses",
        "TotalDuration",
        "TotalkBytes",
        "Uptime",
    }
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``urls``: pages of ``SetHandler server-status``, in the form for machines (``?auto``)."""

    urls: tuple[str, ...] = ("http://127.0.0.1/server-status?auto",)

    def __post_init__(self) -> None:
        """ValueError for a URL that cannot be read."""
        dial.check_http(self.urls)


class Apache:
    """Reads the pages at the same time."""

    def __init__(self, options: Options, _roots: "Roots", fetch: dial.Fetch = dial.fetch) -> None:
        self._urls = options.urls
        self._fetch = fetch
        self._targets = Targets("apache")

    async def collect(self, now: int) -> list[Point]:
        """Return one point a page, with Telegraf's floats. OSError when no page can be read or none is mod_status'."""

        async def look(url: str) -> list[Point]:
            page = await self._fetch(url, seconds=_SECONDS)
            fields = _fields(page.decode("latin-1"))
            if not fields:
                raise dial.protocol_error("this is not mod_status' page for machines (?auto)", url)
            return [Point("apache", dial.server_tags(url), fields, now)]

        return await self._targets.ask(self._urls, look)


def _fields(page: str) -> dict[str, Value]:
    """Read ``Total Accesses: 17`` and the like; nothing when there is no scoreboard."""
    lines = dict(line.split(": ", 1) for line in page.splitlines() if ": " in line)
    if _BOARD not in lines:
        return {}
    board = Counter(lines[_BOARD])
    fields: dict[str, Value] = {name: float(board[letter]) for letter, name in _WORKERS.items()}
    for key, text in lines.items():
        if (name := key.replace(" ", "")) in _FIELDS:
            try:
                fields[name] = float(text)
            except ValueError:
                continue  # a figure that this server does not have
    return fields
