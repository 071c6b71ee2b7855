"""``phpfpm``: how busy the pools of PHP's process manager are, from its status page."""

import asyncio
import glob
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from collectors.host.sources import dial, fastcgi, kernelfile
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_SECONDS: Final = 5
_SOCKETS: Final = ("php/*.sock", "php-fpm/*.sock")
_PATH: Final = "/status"
_NOT_FOUND: Final = re.compile(rb"^status: 404", re.IGNORECASE | re.MULTILINE)
_FIELDS: Final = (
    "start_since",
    "accepted_conn",
    "listen_queue",
    "max_listen_queue",
    "listen_queue_len",
    "idle_processes",
    "active_processes",
    "total_processes",
    "max_active_processes",
    "max_children_reached",
    "slow_requests",
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``urls``: pools' status pages (``pm.status_path``), as Telegraf names them.

    ``"/run/php/php8.2-fpm.sock"`` or, with another path than ``/status``, ``"/run/php/site.sock:/fpm-status"`` (a shell
    pattern may stand for several sockets), ``"fcgi://127.0.0.1:9000/status"``, ``"http://127.0.0.1/status"``. By default
    all sockets in /run/php and /run/php-fpm. When all of a pool's processes are busy, only ``pm.status_listen`` answers.
    """

    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """ValueError for a URL that cannot be read."""
        for url in self.urls:
            if not url.startswith(("/", "fcgi://", "http://")):
                raise ValueError(f"expected a socket's path, fcgi://HOST:PORT/PATH or http://HOST/PATH, got {url!r}")
            if url.startswith("fcgi://") and not (urlsplit(url).hostname and urlsplit(url).port):
                raise ValueError(f"expected a host and a port, got {url!r}")


class Phpfpm:
    """Asks the pools at the same time."""

    def __init__(self, options: Options, roots: "Roots", fetch: dial.Fetch = dial.fetch) -> None:
        self._urls = options.urls or tuple(f"{glob.escape(roots.run)}/{pattern}" for pattern in _SOCKETS)
        self._fetch = fetch
        self._targets = Targets("phpfpm")

    async def collect(self, now: int) -> list[Point]:
        """Return one point a pool. FileNotFoundError without a socket or status page; OSError when no pool answers."""
        urls = await asyncio.to_thread(self._expand)
        if not urls:
            raise kernelfile.lacking(self._urls[0], "no socket of php-fpm here")

        async def look(url: str) -> list[Point]:
            told = _read(await self._page(url), url)
            fields: dict[str, Value] = {
                name: int(told[key]) for name in _FIELDS if (key := name.replace("_", " ")) in told
            }
            return [Point("phpfpm", {"pool": str(told["pool"]), "url": url}, fields, now)]

        return await self._targets.ask(urls, look)

    def _expand(self) -> list[str]:
        urls = []
        for url in self._urls:
            pattern, colon, path = url.partition(":") if url.startswith("/") else (url, "", "")
            if glob.has_magic(pattern) and url.startswith("/"):
                urls += [f"{socket}{colon}{path}" for socket in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute
            else:
                urls.append(url)
        return urls

    async def _page(self, url: str) -> bytes:
        if url.startswith("http://"):
            return await self._fetch(f"{url}{'&' if '?' in url else '?'}json", seconds=_SECONDS)
        if url.startswith("/"):
            address, _, path = url.partition(":")
            path = f"/{path.lstrip('/')}" if path else _PATH
        else:
            parts = urlsplit(url)
            address, path = f"{parts.hostname}:{parts.port}", parts.path or _PATH
        params = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": path,
            "SCRIPT_FILENAME": path,
            "QUERY_STRING": "json",
        }
        head, _, page = (await fastcgi.ask(address, params, seconds=_SECONDS)).partition(b"\r\n\r\n")
        if _NOT_FOUND.search(head):
            raise kernelfile.lacking(url, "the pool has no status page (pm.status_path)")
        return page


def _read(page: bytes, url: str) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(page, type=dict[str, Any])
    except msgspec.DecodeError:
        told = {}
    if "pool" not in told:
        raise dial.protocol_error("this is not php-fpm's status page", url)
    return told
