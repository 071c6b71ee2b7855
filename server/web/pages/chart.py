"""Numbers for charts: as JSON for the browser's own drawing, as a picture where there is no script."""

from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from alerts.i18n.language import Language
from server.readmodel import charts
from server.readmodel.charts import SPANS, Chart, Drawn
from server.readmodel.units import unit_of
from server.store import Aggregate, Store, StoreUnavailable
from server.web.context import WEB
from server.web.figure import svg

_TAG = "tag."


class Asked(msgspec.Struct, frozen=True):
    """Which series the series page was asked for; ``bucket`` is "" for the first one."""

    bucket: str
    measurement: str
    field: str
    aggregate: Aggregate
    where: dict[str, str]

    @property
    def query(self) -> str:
        """The same question as a query string."""
        pairs = [("measurement", self.measurement), ("field", self.field), ("aggregate", self.aggregate.value)]
        bucket = [("bucket", self.bucket)] if self.bucket else []
        return urlencode(bucket + pairs + [(_TAG + tag, value) for tag, value in self.where.items()])


def span_of(request: web.Request, since: int | None = None) -> str:
    """Return how far back a page looks; unless it was asked, only as far as something is known (``since``, ms)."""
    asked = request.query.get("span", "")
    if asked in SPANS:
        return asked
    return charts.DEFAULT_SPAN if since is None else charts.fitting((request.app[WEB].parts.clock() - since) / 1000)


def asked_of(request: web.Request) -> Asked:
    """Read the question of the series page; what makes no sense becomes its default."""
    aggregate = request.query.get("aggregate", "")
    _, *others = request.app[WEB].parts.buckets
    bucket = request.query.get("bucket", "")
    return Asked(
        bucket=bucket if bucket in {one.name for one in others} else "",
        measurement=request.query.get("measurement", ""),
        field=request.query.get("field", ""),
        aggregate=Aggregate(aggregate) if aggregate in set(Aggregate) else Aggregate.MEAN,
        where={key.removeprefix(_TAG): value for key, value in request.query.items() if key.startswith(_TAG) and value},
    )


def store_of(request: web.Request) -> Store:
    """Return the store of the bucket that was asked for."""
    parts = request.app[WEB].parts
    found = parts.buckets.find(asked_of(request).bucket)
    return found.store if found else parts.store


async def subject_json(request: web.Request) -> web.StreamResponse:
    """Answer with a chart of a service, host or device: ``?subject=host/web-1&chart=cpu&span=24h``."""
    return await _json(request, _chart_of(request), request.app[WEB].parts.store)


async def subject_svg(request: web.Request) -> web.StreamResponse:
    """Answer with the same chart as a picture."""
    return await _svg(request, _chart_of(request), request.app[WEB].parts.store)


async def series_json(request: web.Request) -> web.StreamResponse:
    """Answer with any series: ``?measurement=cpu&field=usage_user&tag.host=web-1&aggregate=mean&span=24h``."""
    return await _json(request, await _series_of(request), store_of(request))


async def series_svg(request: web.Request) -> web.StreamResponse:
    """Answer with the same series as a picture."""
    return await _svg(request, await _series_of(request), store_of(request))


def _chart_of(request: web.Request) -> Chart:
    kind, _, identity = request.query.get("subject", "").partition("/")
    match kind:
        case "service":
            known = charts.of_service(identity)
        case "host":
            known = charts.of_host(identity)
        case "device":
            known = charts.of_device(identity, request.query.get("port", ""))
        case _:
            known = []
    found = next((one for one in known if one.id == request.query.get("chart")), None)
    if found is None:
        raise web.HTTPNotFound
    return found


async def _series_of(request: web.Request) -> Chart:
    asked = asked_of(request)
    if not asked.measurement or not asked.field:
        raise web.HTTPNotFound
    context = request.app[WEB]
    try:
        tags = await charts.tags(store_of(request), asked.measurement, asked.field, context.parts.clock())
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable from error
    by = [tag for tag, values in tags.items() if len(values) > 1 and tag not in asked.where]
    return charts.of_series(asked.measurement, asked.field, asked.where, by, asked.aggregate)


async def _draw(request: web.Request, chart: Chart, store: Store) -> Drawn:
    context = request.app[WEB]
    try:
        return await charts.draw(store, chart, span_of(request), context.parts.clock())
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable from error


async def _json(request: web.Request, chart: Chart, store: Store) -> web.Response:
    drawn = _spoken(await _draw(request, chart, store), request.app[WEB].language(request))
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(body=msgspec.json.encode(drawn), content_type="application/json", headers=headers)


async def _svg(request: web.Request, chart: Chart, store: Store) -> web.Response:
    context = request.app[WEB]
    spoken = context.language(request)
    drawn = _spoken(await _draw(request, chart, store), spoken)
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    text = svg(
        drawn, unit=unit_of(context.renderer.catalogue, chart), top=chart.top, spoken=spoken, now=context.parts.clock()
    )
    return web.Response(text=text, content_type="image/svg+xml", headers=headers)


def _spoken(drawn: Drawn, spoken: Language) -> Drawn:
    named = [
        msgspec.structs.replace(
            line, label=" · ".join(part for part in (line.group, spoken.gettext(line.label)) if part)
        )
        for line in drawn.lines
    ]
    return msgspec.structs.replace(drawn, lines=named)
