"""The page of one service."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import msgspec
from aiohttp import web

from alerts.i18n.catalogue import gettext_noop
from server.readmodel import charts
from server.web.context import WEB
from server.web.pages.chart import span_of

# phases in the order in which they happen
PHASES: Final = {
    "dns": gettext_noop("cari nama"),
    "connect": gettext_noop("sambung"),
    "tls": gettext_noop("TLS"),
    "first_byte": gettext_noop("tunggu jawaban"),
    "transfer": gettext_noop("terima isi"),
}
_WIDTH: Final = 1000


class Phase(msgspec.Struct, frozen=True):
    """One part of the bar of phases, laid out on a width of 1000."""

    key: str
    label: str
    seconds: float
    start: int
    width: int


def phases(durations: Mapping[str, float]) -> list[Phase]:
    """Lay out the phases of a look, left to right; every phase that happened can be seen."""
    total = sum(durations.values())
    laid: list[Phase] = []
    at = 0
    for key, label in PHASES.items():
        if key in durations and total > 0:
            width = max(round(durations[key] / total * _WIDTH), 2)
            laid.append(Phase(key, label, durations[key], at, width))
            at += width
    return laid


async def show(request: web.Request) -> web.StreamResponse:
    """Show a registered service."""
    context = request.app[WEB]
    found = await context.overview.service(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    service, detail = found
    register = context.parts.watched.register
    return await context.page(
        request,
        "service.html",
        service=service,
        detail=detail,
        agency=register.agencies[service.agency],
        parents=[register.services[one] for one in service.depends_on],
        target=Fraction(str(service.target)),
        phased=[(state, phases(state.last_phases)) for state, _ in detail.states if state.last_phases],
        charts=charts.of_service(service.id),
        checks=context.parts.watched.checks,
        span=span_of(request, detail.since),
    )
