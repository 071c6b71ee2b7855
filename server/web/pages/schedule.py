"""How punctual the centre itself is: what its schedule skipped, which checks are late, how long writing takes, and when nobody observed."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from alerts.i18n.catalogue import gettext_noop
from server.ledger.unobserved import Cause
from server.watching.punctuality import Lateness, Tally
from server.web.context import WEB

CAUSES: Final[Mapping[Cause, str]] = {
    "not running": gettext_noop("Pantau tidak berjalan: dimulai ulang, diperbarui, atau mesinnya mati"),
    "stopped": gettext_noop("proses Pantau terhenti: dibekukan, atau tidak mendapat prosesor"),
    "asleep or set forward": gettext_noop("mesin tidur, mesin virtual dijeda, atau jam dimajukan"),
    "set back": gettext_noop("jam dimundurkan; tidak ada yang terlewat"),
}
_SHOWN: Final = 50
_UNOBSERVED_SHOWN: Final = 20


async def show(request: web.Request) -> web.StreamResponse:
    """Show each kind of check, the least punctual checks, and the latest stretches in which nobody observed."""
    context = request.app[WEB]
    known = context.parts.punctuality
    jobs = sorted(known.jobs.values() if known else (), key=_order)
    kinds: dict[str, list[Lateness]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    tallies = known.tallies if known else {}
    shown = [(kind, of, tallies.get(kind, Tally())) for kind, of in sorted(kinds.items())]
    return await context.page(
        request,
        "schedule.html",
        kinds=shown,
        jobs=jobs[:_SHOWN],
        total=len(jobs),
        unobserved=await context.unobserved.latest(_UNOBSERVED_SHOWN),
        causes=CAUSES,
    )


def _order(job: Lateness) -> tuple[int, int, str]:
    return -job.late_ms - job.written_ms, -job.skipped, job.job
