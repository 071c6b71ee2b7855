"""The series browser: any number in the store as a chart."""

import msgspec
from aiohttp import web

from alerts.i18n.catalogue import LanguageCode
from server.readmodel import charts
from server.readmodel.units import Unit, unit_of
from server.store import Store, StoreUnavailable
from server.web.context import WEB, Web
from server.web.pages.chart import Asked, asked_of, span_of, store_of


class Choice(msgspec.Struct, frozen=True):
    """What can be chosen, given what was."""

    asked: Asked
    measurements: list[str]
    fields: list[str]
    tags: dict[str, list[str]]


async def show(request: web.Request) -> web.StreamResponse:
    """Show what there is, and the chart of what was chosen."""
    context = request.app[WEB]
    asked = asked_of(request)
    unreadable = False
    try:
        choice = await _choices(store_of(request), asked, context.parts.clock())
    except StoreUnavailable:
        choice, unreadable = Choice(asked, [], [], {}), True
    return await context.page(
        request,
        "series.html",
        unreadable=unreadable,
        span=span_of(request, await context.overview.running_since()),
        asked=choice.asked,
        buckets=[one.name for one in context.parts.buckets],
        measurements=choice.measurements,
        fields=choice.fields,
        tags=choice.tags,
        about=_about(context, choice.asked, context.language(request).code),
    )


class SeriesInfo(msgspec.Struct, frozen=True):
    """What the catalogue says of what was chosen, in the visitor's language; "" where it is not Pantau's own."""

    measurement: str = ""
    field: str = ""
    unit: Unit = Unit()


def _about(context: Web, asked: Asked, language: LanguageCode) -> SeriesInfo:
    known = context.renderer.catalogue
    measurement, field = known.measurement(asked.measurement), known.field(asked.measurement, asked.field)
    if measurement is None:
        return SeriesInfo()
    chart = charts.of_series(asked.measurement, asked.field, asked.where, (), asked.aggregate)
    return SeriesInfo(
        measurement=getattr(measurement, language),
        field=getattr(field, language) if field else "",
        unit=unit_of(known, chart),
    )


async def _choices(store: Store, asked: Asked, now: int) -> Choice:
    measurements = await store.measurements()
    if asked.measurement not in measurements:
        return Choice(msgspec.structs.replace(asked, measurement="", field=""), measurements, [], {})
    kinds = await store.fields(asked.measurement)
    fields = sorted(name for name, kind in kinds.items() if kind != "string")
    if asked.field not in fields:
        asked = msgspec.structs.replace(asked, field=fields[0] if fields else "", where={})
    tags = await charts.tags(store, asked.measurement, asked.field, now) if asked.field else {}
    where = {tag: value for tag, value in asked.where.items() if tag in tags}
    return Choice(msgspec.structs.replace(asked, where=where), measurements, fields, tags)
