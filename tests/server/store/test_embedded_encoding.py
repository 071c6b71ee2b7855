"""Lines on their way into columns: rows of known series all at once, the others one by one, and nobody can tell which."""

import pytest

from collectors.linereader import Cache, decode
from server.store.embedded.columns import last_writes
from server.store.embedded.encoding import Encoder
from server.store.embedded.lookup import Lookup
from server.store.embedded.series import Dictionary


class Centre:
    """A dictionary and what was written with it."""

    def __init__(self, limit=100, *, in_order=False, **remembered):
        self.dictionary = Dictionary(limit)
        self.lookup = Lookup(self.dictionary)
        self.encoder = Encoder(self.dictionary, **remembered)
        self.in_order = in_order
        self.cache = Cache()

    def write(self, *lines):
        """Return what became of lines, and their last values by series, field and time."""
        read = decode("\n".join(lines).encode(), now=0, cache=self.cache)
        assert not read.errors
        encoded = self.encoder.encode(read.points, in_order=self.in_order)
        names = {
            key: (series.measurement, *series.tags.items(), field)
            for measurement in self.lookup.measurements()
            for series in self.lookup.series(measurement, {})
            for field, key in series.keys.items()
        }
        values = {}
        for kind in dict(encoded.chunks):
            rows = last_writes([one for name, one in encoded.chunks if name == kind])
            for key, time, value in zip(*(column.tolist() for column in rows), strict=True):
                values[*names[key], time] = value
        return encoded.written, values


@pytest.fixture(params=[False, True], ids=["at once", "in order"])
def centre(request):
    return Centre(in_order=request.param)


def test_a_line_that_is_known_and_one_that_is_not_are_both_written(centre):
    centre.write("m,h=a f=1,n=1i 1")
    written, values = centre.write("m,h=a f=2,n=2i 2", "m,h=b f=3,n=3i 2", 'm,h=a f=4,n=4i,s="x" 3', "m,h=a n=5i 4")
    assert (written.points, written.rejected) == (4, ())
    assert values == {
        ("m", ("h", "a"), "f", 2): 2.0,
        ("m", ("h", "a"), "n", 2): 2,
        ("m", ("h", "b"), "f", 2): 3.0,
        ("m", ("h", "b"), "n", 2): 3,
        ("m", ("h", "a"), "f", 3): 4.0,
        ("m", ("h", "a"), "n", 3): 4,
        ("m", ("h", "a"), "s", 3): "x",
        ("m", ("h", "a"), "n", 4): 5,
    }


def test_a_type_that_is_new_in_a_line_is_refused_beside_known_lines(centre):
    for _ in range(2):
        written, values = centre.write("m f=1,g=1 1", "m f=2i,g=2 2", "m f=3,g=3 3")
        assert [(one.measurement, one.field) for one in written.rejected] == [("m", "f")]
        assert written.points == 3
        assert values == {
            ("m", "f", 1): 1.0,
            ("m", "g", 1): 1.0,
            ("m", "g", 2): 2.0,
            ("m", "f", 3): 3.0,
            ("m", "g", 3): 3.0,
        }


def test_the_first_line_fixes_the_type_whatever_its_shape(centre):
    written, values = centre.write('m s="x",f=1i 1', "m f=2 2", "n f=2 1", "n g=1,f=3i 2")
    assert [(one.measurement, one.field) for one in written.rejected] == [("m", "f"), ("n", "f")]
    assert values == {("m", "s", 1): "x", ("m", "f", 1): 1, ("n", "f", 1): 2.0, ("n", "g", 2): 1.0}


def test_beyond_the_limit_known_series_are_written_and_new_ones_refused():
    centre = Centre(limit=2)
    centre.write("m,h=a f=1 1", "m,h=b f=1 1")
    written, values = centre.write("m,h=a f=2 2", "m,h=c f=2 2", "m,h=b f=2 2")
    assert [one.why for one in written.rejected] == ["max-series-per-database limit exceeded: (2) dropped=1"]
    assert {key[1] for key in values} == {("h", "a"), ("h", "b")}


def test_what_is_remembered_is_bounded():
    centre = Centre(heads=3)
    for turn in range(30):
        _, values = centre.write(*(f"m,h={turn % n} f{n}={turn} {turn}" for n in range(1, 5)))
        assert values == {("m", ("h", str(turn % n)), f"f{n}", turn): float(turn) for n in range(1, 5)}
        assert sum(len(known.rows) for known in centre.encoder._known.values()) <= 3


def test_integers_at_both_ends_stay_exact(centre):
    for _ in range(2):
        _, values = centre.write(f"m f={2**63 - 1}i,g={-(2**63)}i 1", f"n f={2**63 - 1}i,g=0.1 1")
        assert values["m", "f", 1] == values["n", "f", 1] == 2**63 - 1
        assert values["m", "g", 1] == -(2**63)


def test_shapes_that_are_remembered_are_bounded_and_mean_the_same():
    centre = Centre(in_order=True, plans=3)
    for turn in range(30):
        _, values = centre.write(*(f'm,h={turn % n} f{n}={turn},s="{n}" {turn}' for n in range(1, 6)))
        assert values == {
            key: value
            for n in range(1, 6)
            for key, value in {
                ("m", ("h", str(turn % n)), f"f{n}", turn): float(turn),
                ("m", ("h", str(turn % n)), "s", turn): str(max(k for k in range(1, 6) if turn % k == turn % n)),
            }.items()
        }
        assert len(centre.encoder._sorter._plans) <= 3
