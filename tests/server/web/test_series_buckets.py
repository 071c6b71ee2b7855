"""The series browser looks into each bucket."""

import pytest

from collectors.point import Point
from server.store import StoreUnavailable
from server.store.buckets import Bucket
from server.store.embedded.store import Embedded, Options
from tests.server.web.conftest import NOW


@pytest.fixture
async def visitor(visit, tmp_path):
    visitor = await visit("viewer")
    lab = Embedded(Options(), tmp_path / "lab", lambda: NOW * 1_000_000)
    await lab.open()
    times = [NOW * 1_000_000 - minute * 60 * 10**9 for minute in range(1, 30)]
    await visitor.parts.store.write([Point("cpu", {"host": "a"}, {"usage_user": 1.0}, times[0])])
    await lab.write([Point("cpu", {"bench": "x"}, {"sparks": 7.5}, time) for time in times])
    visitor.parts.buckets._buckets["lab"] = Bucket("lab", lab, 86400.0, 100)
    yield visitor
    await lab.close()


async def test_series_of_another_bucket_are_chosen_and_drawn(visitor):
    _, text = await visitor.get("/buckets")
    assert 'href="/series?bucket=lab&amp;measurement=cpu"' in text
    _, text = await visitor.get("/series?bucket=lab&measurement=cpu")
    assert "sparks" in text
    assert "usage_user" not in text
    assert "/api/series?bucket=lab&amp;measurement=cpu&amp;field=sparks" in text
    asked = "bucket=lab&measurement=cpu&field=sparks&aggregate=max&span=1h"
    answer, text = await visitor.get(f"/api/series?{asked}")
    assert answer.status == 200
    assert "7.5" in text
    answer, text = await visitor.get(f"/api/series.svg?{asked}")
    assert (answer.status, "<svg" in text) == (200, True)


@pytest.mark.parametrize("bucket", ["", "pantau", "unknown", "<b>"])
async def test_without_a_bucket_it_is_the_first(visitor, bucket):
    _, text = await visitor.get(f"/series?bucket={bucket}&measurement=cpu")
    assert "usage_user" in text
    assert "sparks" not in text
    assert "/api/series?measurement=cpu" in text


async def test_a_bucket_that_is_away_can_be_left(visitor):
    class Away:
        async def measurements(self):
            raise StoreUnavailable("the disk is gone")

    visitor.parts.buckets._buckets["gone"] = Bucket("gone", Away(), 86400.0, 100)
    _, text = await visitor.get("/series?bucket=gone")
    assert "Data tidak dapat dibaca saat ini." in text
    assert "<option>pantau</option>" in text
    assert "<option selected>gone</option>" in text


async def test_a_series_says_what_it_is_and_in_which_unit(visitor):
    _, text = await visitor.get("/series?measurement=cpu&field=usage_user")
    assert "Waktu untuk program pengguna" in text
    assert 'data-unit="%"' in text
    assert "usage_user (%)" in text
    _, text = await visitor.get("/series?bucket=lab&measurement=cpu&field=sparks")
    assert 'data-unit=""' in text
