"""The page that tells how punctual the centre is."""

import html
import re

from msgspec.structs import replace
from sqlalchemy import insert

from alerts.tables import StateAway
from collectors.result import Status
from configs.clock import Gap
from server.ledger.running_time import RunningTime
from server.readmodel.latest_unobserved import LatestUnobserved
from server.state.tables import monitor_run
from server.watching.punctuality import Punctuality

HOUR = 3_600_000
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


class Writing:
    """A database that takes whatever is written."""

    async def write(self, work):
        return None


async def run(visitor, *rows):
    """Write rows of running time after those of the town: (start, for how long nobody observed before it), ms from now."""
    for start, gap in rows:
        known = {"start_ms": NOW + start, "beat_ms": NOW + start, "gap_ms": gap, "cause": "not running"}
        row = insert(monitor_run).values(**known, version="0.1.0")
        await visitor.parts.database.write(lambda tx, row=row: tx.execute(row))


def gaps(text):
    """Return the rows of the table of stretches in which nobody observed, as texts."""
    table = text[text.index('id="unobserved"') :].partition("</table>")[0]
    rows = re.findall(r"<tr>(<td.*?)</tr>", table, re.DOTALL)
    return [re.findall(r">([^<>]+)</td>", row) for row in rows]


async def test_it_shows_when_nobody_observed_for_how_long_and_why(visit):
    running = RunningTime(Writing(), lambda: NOW + 3 * HOUR, "0.1.0")
    visitor = await visit("viewer", running_time=running)
    assert "Tidak ada yang diketahui." in (await visitor.get("/schedule"))[1]
    await run(visitor, (HOUR, HOUR), (3 * HOUR, HOUR), (5 * HOUR, HOUR))
    running.interrupt(Gap(NOW + 4 * HOUR, NOW + 5 * HOUR, awake=HOUR))  # a row tells of it, too
    running.interrupt(Gap(NOW + 6 * HOUR, NOW + 6 * HOUR - 90_000))  # and none of this
    assert gaps((await visitor.get("/schedule"))[1]) == [
        ["04/06/2026 21.30.00", "04/06/2026 21.28.30", "1 menit 30 detik", "jam dimundurkan; tidak ada yang terlewat"],
        [
            "04/06/2026 19.30.00",
            "04/06/2026 20.30.00",
            "1 jam",
            "proses Pantau terhenti: dibekukan, atau tidak mendapat prosesor",
        ],
        [
            "04/06/2026 17.30.00",
            "04/06/2026 18.30.00",
            "1 jam",
            "Pantau tidak berjalan: dimulai ulang, diperbarui, atau mesinnya mati",
        ],
        [
            "04/06/2026 15.30.00",
            "04/06/2026 16.30.00",
            "1 jam",
            "Pantau tidak berjalan: dimulai ulang, diperbarui, atau mesinnya mati",
        ],
    ]
    visitor.client.session.cookie_jar.update_cookies({"lang": "en"})
    english = (await visitor.get("/schedule"))[1]
    assert "When Pantau did not observe" in english
    assert gaps(english)[1][2:] == ["1 hour", "the process of Pantau stood still: frozen, or without a processor"]


async def test_rows_are_read_now_and_then_and_while_the_database_is_away_not_at_all(visit):
    visitor = await visit()
    asked, away = 0, False

    class Counted:
        async def read(self, work):
            nonlocal asked
            asked += 1
            if away:
                raise StateAway("gone")
            return await visitor.parts.database.read(work)

    now = 0
    running = RunningTime(Writing(), lambda: NOW, "0.1.0")
    latest = LatestUnobserved(Counted(), running, lambda: now)
    await run(visitor, (HOUR, HOUR))
    before = await latest.latest(20)
    assert [(one.start - NOW, one.end - NOW) for one in before] == [(0, HOUR)]
    assert await latest.latest(20) == before
    assert await latest.latest(0) == []
    assert asked == 1
    now, away = 10_000, True
    assert await latest.latest(20) == before
    assert asked == 2
    running.interrupt(Gap(NOW + HOUR, NOW + 2 * HOUR))
    assert len(await LatestUnobserved(Counted(), running, lambda: now).latest(20)) == 1
