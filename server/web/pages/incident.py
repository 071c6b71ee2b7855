"""Incidents: the list, the story of one, and taking care of it."""

from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from alerts import incident
from server.web.auth import read_form, safe_next, session_of
from server.web.context import WEB

_PAGE: Final = 50
_LONGEST_NOTE: Final = 1000
_MOST_AT_ONCE: Final = 5000
_BIGGEST_ID: Final = 2**63 - 1


async def listing(request: web.Request) -> web.StreamResponse:
    """Show what is open, and all incidents page by page."""
    context = request.app[WEB]
    before = _number(request.query["before"]) if "before" in request.query else None
    opened, recent = await context.overview.incidents(limit=_PAGE + 1, before=before)
    older = recent[_PAGE - 1].incident.id if len(recent) > _PAGE else None
    return await context.page(
        request, "incidents.html", opened=opened, recent=recent[:_PAGE], before=before, older=older
    )


async def show(request: web.Request) -> web.StreamResponse:
    """Show what happened, to whom, who was told and who takes care."""
    context = request.app[WEB]
    story = await context.overview.story(_number(request.match_info["id"]))
    if story is None:
        raise web.HTTPNotFound
    return await context.page(request, "incident.html", story=story)


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """Mark an incident as taken care of by this user."""
    context = request.app[WEB]
    identity = _number(request.match_info["id"])
    form = await read_form(request)
    # what cannot be seen could make a note read as another
    note = "".join(letter for letter in form.get("note", "") if letter.isprintable() or letter == "\n").strip()
    who, now = session_of(request).user, context.parts.clock()
    known = await context.overview.story(identity)
    if known is None:
        raise web.HTTPNotFound
    await context.parts.database.write(
        lambda tx: incident.acknowledge(tx, identity, by=who, note=note[:_LONGEST_NOTE], at=now)
    )
    context.parts.feed.publish("incident", {"incident": identity, "subject": known.problem.name.subject})
    raise web.HTTPSeeOther(safe_next(form["next"]) if "next" in form else f"/incidents/{identity}")


async def acknowledge_all(request: web.Request) -> web.StreamResponse:
    """Mark the incidents of ``ids`` (numbers with commas between) as taken care of by this user; what is closed stays as it is."""
    context = request.app[WEB]
    form = await read_form(request)
    identities = [_number(one) for one in form.get("ids", "").split(",")]
    if len(identities) > _MOST_AT_ONCE:
        raise web.HTTPBadRequest
    who, now = session_of(request).user, context.parts.clock()

    def mark(tx: Connection) -> None:
        for identity in identities:
            incident.acknowledge(tx, identity, by=who, note="", at=now)

    await context.parts.database.write(mark)
    for identity in identities:
        context.parts.feed.publish("incident", {"incident": identity})
    raise web.HTTPSeeOther(safe_next(form.get("next")))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _BIGGEST_ID:
        raise web.HTTPNotFound
    return int(text)
