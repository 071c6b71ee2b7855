"""Charts show the units that the catalogue of fields knows."""

import pytest

from collectors import catalogue
from server.readmodel import charts
from server.readmodel.units import Unit, unit_of
from server.store import Aggregate

BOOK = catalogue.read()


@pytest.mark.parametrize(
    ("chart", "unit"),
    [
        *((chart, unit) for chart, unit in zip(charts.of_host("a"), ["%", "%", "%", "bit/s", "", "B/s"], strict=True)),
        *((chart, unit) for chart, unit in zip(charts.of_device("sw-1"), ["bit/s", "/s"], strict=True)),
        (charts.of_service("portal")[0], "s"),
    ],
    ids=lambda value: value.id if isinstance(value, charts.Chart) else value,
)
def test_the_charts_of_a_page_are_in_the_units_of_their_fields(chart, unit):
    assert unit_of(BOOK, chart) == Unit(unit)


@pytest.mark.parametrize(
    ("measurement", "field", "aggregate", "unit"),
    [
        ("mem", "used", Aggregate.MEAN, Unit("B")),
        ("net", "bytes_recv", Aggregate.RATE, Unit("B/s")),
        ("temp", "temp", Aggregate.MAX, Unit("°C")),
        ("diskio", "read_time", Aggregate.LAST, Unit("s", 1e-3)),
        ("diskio", "read_time", Aggregate.RATE, Unit("", 1e-3)),
        ("system", "load1", Aggregate.MEAN, Unit()),
        ("net", "packets_recv", Aggregate.RATE, Unit("/s")),
        ("mem", "used", Aggregate.COUNT, Unit()),
        ("somebody", "elses", Aggregate.MEAN, Unit()),
    ],
)
def test_any_series_is_shown_in_the_unit_of_its_field(measurement, field, aggregate, unit):
    assert unit_of(BOOK, charts.of_series(measurement, field, {}, (), aggregate)) == unit
