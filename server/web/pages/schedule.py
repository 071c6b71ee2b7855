"""How punctual the centre itself is: what its schedule skipped, which checks are late, and how long it takes until looks are written."""

from aiohttp import web

from server.watching.punctuality import Lateness, Tally
from server.web.context import WEB

_SHOWN = 50


async def show(request: web.Request) -> web.StreamResponse:
    """Show each kind of check and the least punctual checks."""
    context = request.app[WEB]
    known = context.parts.punctuality
    jobs = sorted(known.jobs.values() if known else (), key=_order)
    kinds: dict[str, list[Lateness]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    tallies = known.tallies if known else {}
    shown = [(kind, of, tallies.get(kind, Tally())) for kind, of in sorted(kinds.items())]
    return await context.page(request, "schedule.html", kinds=shown, jobs=jobs[:_SHOWN], total=len(jobs))


def _order(job: Lateness) -> tuple[int, int, str]:
    return -job.late_ms - job.written_ms, -job.skipped, job.job
