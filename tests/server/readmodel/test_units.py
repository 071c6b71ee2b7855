"""Charts show the units that the catalogue of fields knows."""

import pytest

from collectors import catalogue
from server.readmodel import charts
from server.readmodel.units import Unit, unit_of, unit_of_line
from server.store import Aggregate

BOOK = catalogue.read()


def test_the_charts_of_a_page_are_in_the_units_of_their_fields():
    every = [*charts.of_host("a"), *charts.of_device("sw-1"), *charts.of_service("portal")]
    assert {chart.id: unit_of(BOOK, chart) for chart in every} == {
        **dict.fromkeys(("cpu", "mem", "disk"), Unit("%")),
        **dict.fromkeys(("net", "traffic"), Unit("bit/s")),
        "load": Unit(),
        "diskio": Unit("B/s"),
        "errors": Unit("/s"),
        "took": Unit("s"),
    }


@pytest.mark.parametrize("chart", [*charts.of_host("a"), *charts.of_device("sw-1"), *charts.of_service("portal")])
def test_all_lines_of_a_chart_are_in_one_unit_that_the_catalogue_knows(chart):
    assert {unit_of_line(BOOK, line) for line in chart.lines} == {unit_of(BOOK, chart)}
    assert all(BOOK.field(line.measurement, line.field) for line in chart.lines)


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
