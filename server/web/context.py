"""What every page has at hand: the parts of the centre, the renderer, and what is known of this request."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import hdrs, web

from alerts.i18n.catalogue import CODES, LanguageCode
from alerts.i18n.language import Language
from alerts.states import States
from alerts.tables import Database
from server.edge.client_address import client_address
from server.edge.in_slices import in_slices
from server.ledger.running_time import RunningTime
from server.readmodel.latest_unobserved import LatestUnobserved
from server.readmodel.overview import Overview
from server.readmodel.recent_days import Kept
from server.report.papers import Papers
from server.state.place import Place
from server.store import Store
from server.store.buckets import Buckets
from server.watching.feed import Feed
from server.watching.punctuality import Punctuality
from server.watching.watched import Watched
from server.web.accounts import Passwords, allows
from server.web.remembered import Remembered
from server.web.render import Renderer
from server.web.sessions import Session
from server.web.site import Site

_SHARED_FOR: Final = 5_000
_FRAGMENT_FOR: Final = 1_000
_HASHES_AT_ONCE: Final = 2  # each takes 64 MB
_PAGES_AT_ONCE: Final = 2  # each takes its slice of every turn of the loop
_COMPRESSED_BESIDE: Final = 16 * 1024  # bytes from which a page is compressed off the event loop


class Limits(msgspec.Struct, frozen=True):
    """What bounds a visitor: seconds for the body of a form, seconds of silence in a stream, and open streams of one user.

    Many screens may share an account, but not the whole of the centre's sockets.
    """

    form_seconds: float = 20.0
    heartbeat: float = 15.0
    streams: int = 100


class Parts(msgspec.Struct, frozen=True):
    """Everything of the centre that the web needs; ``database`` has threads of its own for pages.

    ``place`` is where papers read the same. ``clock`` gives ms since epoch, ``steady`` ms that only grow, ``punctuality`` is that of
    the schedule, ``running_time`` is that of this run of the centre.
    """

    database: Database
    states: States
    papers: Papers
    place: Place
    buckets: Buckets
    watched: Watched
    feed: Feed
    clock: Callable[[], int]
    steady: Callable[[], int]
    site: Site = Site()
    punctuality: Punctuality | None = None
    running_time: RunningTime | None = None
    limits: Limits = Limits()

    @property
    def store(self) -> Store:
        """Where the centre's own points are."""
        return self.buckets.main


class Shown(NamedTuple):
    """What pages show by the settings of one time."""

    parts: Parts
    renderer: Renderer
    overview: Overview


class Web:
    """The web of one centre while it runs; ``renderer`` can be used once ``loaded`` has returned."""

    def __init__(self, parts: Parts, overview: Overview) -> None:
        self.parts = parts
        self.overview = overview
        self.unobserved = LatestUnobserved(parts.database, parts.running_time, parts.steady)
        self.renderer: Renderer
        # beside the start of everything else: half a second in which the centre would neither look nor take points
        self._loading = asyncio.create_task(asyncio.to_thread(Renderer, parts.site.zone))
        self.remembered = Remembered()
        self.passwords = Passwords()
        self.hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._rendering = asyncio.Semaphore(_PAGES_AT_ONCE)
        self.streams: Counter[str] = Counter()  # open streams of each user
        self._shared: dict[str, Kept[str]] = {}

    async def loaded(self) -> None:
        """Wait until templates, texts and static files are read."""
        if not hasattr(self, "renderer"):
            self.renderer = await asyncio.shield(self._loading)

    async def following(self, watched: Watched, site: Site) -> Shown:
        """Return what pages show by other settings; nothing changes as yet."""
        await self.loaded()
        renderer = self.renderer
        if site.zone != self.parts.site.zone:
            renderer = await asyncio.to_thread(Renderer, site.zone)
        parts = msgspec.structs.replace(self.parts, watched=watched, site=site)
        return Shown(parts, renderer, self.overview.following(watched, site.zone))

    def use(self, shown: Shown) -> None:
        """Show pages by other settings from now on; streams and logins go on."""
        self.parts, self.renderer, self.overview = shown.parts, shown.renderer, shown.overview
        self._shared = {}

    def language(self, request: web.Request) -> Language:
        """Return the language of the visitor: by the switch, else the centre's own."""
        chosen = request.cookies.get("lang", "")
        return self.renderer.languages[next((code for code in CODES if code == chosen), self.parts.site.language)]

    def theme(self, request: web.Request) -> str:
        """Return the light of the visitor: by the switch, else that of the device."""
        chosen = request.cookies.get("theme", "")
        return chosen if chosen in {"light", "dark"} else "auto"

    async def page(self, request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """Answer with a page."""
        return self.answer(request, await self.html(request, template, **context), status=status)

    async def shared(self, request: web.Request, make: Callable[[], Awaitable[str]]) -> str:
        """Return the one page of its kind that whoever is not logged in sees; made anew when it is some seconds old."""
        look = f"{request.path} {self.language(request).code} {self.theme(request)}"
        kept = self._shared.setdefault(look, Kept(_SHARED_FOR))
        return await kept.get(look, self.parts.steady(), make)

    async def fragment(
        self, request: web.Request, template: str, make: Callable[[], Awaitable[Mapping[str, Any]]]
    ) -> str:
        """Return HTML that is the same on the page of everybody who may see it; made anew when it is a second old."""
        code = self.language(request).code

        async def fresh() -> str:
            return await self._render(template, code, {"now": self.parts.clock(), **await make()})

        kept = self._shared.setdefault(f"{template} {code}", Kept(_FRAGMENT_FOR))
        return await kept.get("", self.parts.steady(), fresh)

    async def html(self, request: web.Request, template: str, **context: Any) -> str:
        """Make a page."""
        stay = request.get(SESSION)
        known = {
            "title": self.parts.site.title,
            "zone": self.parts.site.zone,
            "stay": stay,
            "csrf": stay.csrf if stay else "",
            "may": (lambda needed: bool(stay) and allows(stay.role, needed)) if stay else (lambda _needed: False),
            "theme": self.theme(request),
            "here": request.path_qs if request.method == hdrs.METH_GET else "/",
            "area": request.path.split("/")[1],
            "now": self.parts.clock(),
            "away": bool(self.parts.database.away),
            "freshness": await self.overview.freshness() if stay else None,
        }
        return await self._render(template, self.language(request).code, known | context)

    async def _render(self, template: str, code: LanguageCode, context: Mapping[str, Any]) -> str:
        async with self._rendering:
            return "".join(await in_slices(self.renderer.pieces(template, code, context)))

    def answer(self, request: web.Request, html: str, *, status: int = 200) -> web.Response:
        """Answer with a page that is made."""
        language = self.language(request).code
        headers = {hdrs.CACHE_CONTROL: "no-store", "Content-Language": language, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        response = web.Response(
            text=html,
            status=status,
            content_type="text/html",
            headers=headers,
            zlib_executor_size=_COMPRESSED_BESIDE,
        )
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def address(self, request: web.Request) -> str:
        """Return the visitor's address, as far as it can be believed."""
        return client_address(request, self.parts.site.trusted_proxies)


WEB: Final = web.AppKey("web", Web)
SESSION: Final = web.RequestKey("session", Session)
