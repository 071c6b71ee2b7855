"""``nginx``: connections and requests, from the page of nginx's module stub_status."""

import re
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import dial
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# source: nginx's documentation of ngx_http_stub_status_module
_PAGE: Final = re.compile(
    r"\s*Active connections:\s*(?P<active>\d+)\s+server accepts handled requests(?: request_time)?\s+"
    r"(?P<accepts>\d+)\s+(?P<handled>\d+)\s+(?P<requests>\d+)(?:\s+\d+)?\s+"
    r"Reading:\s*(?P<reading>\d+)\s+Writing:\s*(?P<writing>\d+)\s+Waiting:\s*(?P<waiting>\d+)\s*"
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``urls``: pages for which nginx has ``stub_status;``."""

    urls: tuple[str, ...] = ("http://127.0.0.1/nginx_status",)

    def __post_init__(self) -> None:
        """ValueError for a URL that cannot be read."""
        dial.check_http(self.urls)


class Nginx:
    """Reads the pages at the same time."""

    def __init__(
        self, options: Options, _roots: "Roots", fetch: dial.Fetch = dial.fetch, *, seconds: float = 5
    ) -> None:
        self._urls = options.urls
        self._fetch = fetch
        self._seconds = seconds
        self._targets = Targets("nginx")

    async def collect(self, now: int) -> list[Point]:
        """Return one point a page. OSError when no page can be read: refused, not found, something else than nginx's."""

        async def look(url: str) -> list[Point]:
            page = await self._fetch(url, seconds=self._seconds)
            match = _PAGE.fullmatch(page.decode("latin-1"))
            if match is None:
                raise dial.protocol_error("this is not the page of nginx's stub_status", url)
            fields: dict[str, Value] = {name: int(number) for name, number in match.groupdict().items()}
            return [Point("nginx", dial.server_tags(url), fields, now)]

        return await self._targets.ask(self._urls, look)
