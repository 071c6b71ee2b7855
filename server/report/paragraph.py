"""The report in a few plain sentences, put together by rules."""

from server.report.model import Report
from server.report.phrases import Phrases


def sentences(report: Report, phrases: Phrases) -> list[str]:
    """Tell what was watched, what came out, and what hurt most."""
    city = report.city
    period = phrases.period(report.start, report.end)
    if city.rated == 0:
        return [phrases.say("p_none", period=period)]
    watched = phrases.say("p_watched", period=period, n=city.services, coverage=phrases.percent(city.figures.coverage))
    verdicts = phrases.say("p_verdicts", met=city.met, missed=city.missed, open=city.open)
    if city.headline:
        together = phrases.say("p_city", value=phrases.percent(city.figures.availability))
    else:
        together = phrases.say("p_city_range", value=phrases.between(city.figures.lower, city.figures.upper))
    return [watched, verdicts, together, *_outages(report, phrases)]


def _outages(report: Report, phrases: Phrases) -> list[str]:
    told = [(each.name, outage) for each in report.services for outage in each.outages if outage.down]
    if not told:
        return [phrases.say("p_calm")]
    name, longest = max(told, key=lambda pair: pair[1].down)
    lines = [
        phrases.say(
            "p_outages",
            n=len(told),
            total=phrases.duration(report.city.down),
            longest=phrases.duration(longest.down),
            service=name,
            reason=phrases.reason(longest.reasons[0]),
        )
    ]
    if lasting := sum(not outage.ended for _, outage in told):
        lines.append(phrases.say("p_open", n=lasting))
    return lines
