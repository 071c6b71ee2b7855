"""The report in a few plain sentences, put together by rules."""

from alerts.i18n.language import Language
from server.report.model import Report


def sentences(report: Report, language: Language) -> list[str]:
    """Return what was watched, what came out, and what hurt most."""
    city, gettext = report.city, language.gettext
    period = language.period(report.start, report.end)
    if city.rated == 0:
        return [gettext("Pada {period} tidak ada layanan yang dapat dinilai.", period=period)]
    watched = language.ngettext(
        "Pada {period}, {n} layanan dipantau dengan cakupan {coverage}.",
        "Pada {period}, {n} layanan dipantau dengan cakupan {coverage}.",
        city.services,
        period=period,
        n=city.services,
        coverage=language.percent(city.figures.coverage),
    )
    verdicts = gettext(
        "{met} memenuhi target, {missed} tidak memenuhi, {open} belum dapat disimpulkan.",
        met=city.met,
        missed=city.missed,
        open=city.open,
    )
    return [watched, verdicts, _together(report, language), *_outages(report, language)]


def _together(report: Report, language: Language) -> str:
    figures = report.city.figures
    if report.city.headline:
        return language.gettext("Ketersediaan gabungan {value}.", value=language.percent(figures.availability))
    return language.gettext(
        "Ketersediaan gabungan tidak disebut dengan satu angka karena cakupannya kurang; rentangnya {value}.",
        value=language.bounds(figures.lower, figures.upper),
    )


def _outages(report: Report, language: Language) -> list[str]:
    counted = [(each.name, outage) for each in report.services for outage in each.outages if outage.down]
    if not counted:
        return [language.gettext("Tidak ada gangguan yang terlihat.")]
    name, longest = max(counted, key=lambda pair: pair[1].down)
    lines = [
        language.ngettext(
            "Layanan padam {n} kali, seluruhnya {total}; terlama {longest} ({service}) karena {reason}.",
            "Layanan padam {n} kali, seluruhnya {total}; terlama {longest} ({service}) karena {reason}.",
            len(counted),
            n=len(counted),
            total=language.duration(report.city.down),
            longest=language.duration(longest.down),
            service=name,
            reason=language.reason(longest.reasons[0]).what,
        )
    ]
    if lasting := sum(not outage.ended for _, outage in counted):
        lines.append(language.gettext("{n} gangguan belum pulih.", n=lasting))
    return lines
