"""The page that tells how punctual the centre is."""

import html

from msgspec.structs import replace

from collectors.result import Status
from server.watching.punctuality import Punctuality

NOW = 1_780_561_800_000  # of the town
DETAIL = "a look of kind http started 48.0 s after it was due (limit 15 s)"


async def test_the_least_punctual_check_is_first_and_every_page_says_that_looks_are_late(visit):
    known = Punctuality()
    for job, late in (("portal-http", 20), ("simpus-http", 48_000)):
        known.add(job, "http", 60)
        known.handed(job, NOW)
        under_way = known.ask(job, NOW, NOW + 1)
        known.start(under_way, NOW + late, NOW + late)
        known.end(under_way, NOW + late + 100)
        known.commit(under_way, NOW + late + 1_500)
    known.skip("simpus-http", 3)
    known.take(NOW + 60_000)
    visitor = await visit("viewer", punctuality=known)
    text = (await visitor.get("/schedule"))[1]
    rows = text[text.index("Yang paling tidak tepat") :]
    assert rows.index("simpus-http") < rows.index("portal-http")
    assert "48.000 ms" in rows
    assert "49.500 ms" in rows
    kinds = text[: text.index("Yang paling tidak tepat")]
    assert "Sampai tercatat, terlama" in kinds
    assert "49.500 ms" in kinds
    assert "Pemeriksaan terlambat" not in (await visitor.get("/hosts"))[1]

    believed = replace(visitor.parts.states.all()[0], check="pantau/schedule", subject="pantau/schedule")
    visitor.parts.states.put(replace(believed, status=Status.DEGRADED, detail=DETAIL))
    assert "Pemeriksaan terlambat" in (await visitor.get("/hosts"))[1]
    assert DETAIL in html.unescape((await visitor.get("/schedule"))[1])
