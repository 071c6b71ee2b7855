"""The report as CSV for spreadsheets: one row a service, ``;`` between cells, a byte order mark, decimals as the language has them."""

import csv
import io
from fractions import Fraction
from typing import Final

from alerts.i18n.catalogue import LanguageCode, pgettext_noop
from alerts.i18n.language import Language
from server.report.model import Report, ServiceReport, Times
from server.report.verdict_words import VERDICTS

_COLUMNS: Final = (
    pgettext_noop("csv", "id"),
    pgettext_noop("csv", "layanan"),
    pgettext_noop("csv", "perangkat_daerah"),
    pgettext_noop("csv", "bobot"),
    pgettext_noop("csv", "target_persen"),
    pgettext_noop("csv", "hasil"),
    pgettext_noop("csv", "ketersediaan_persen"),
    pgettext_noop("csv", "batas_bawah_persen"),
    pgettext_noop("csv", "batas_atas_persen"),
    pgettext_noop("csv", "cakupan_persen"),
    pgettext_noop("csv", "termasuk_pemeliharaan_persen"),
    pgettext_noop("csv", "menurun_persen"),
    pgettext_noop("csv", "padam_detik"),
    pgettext_noop("csv", "gangguan"),
    pgettext_noop("csv", "disepakati_detik"),
    pgettext_noop("csv", "pemeliharaan_detik"),
    pgettext_noop("csv", "tak_terpantau_detik"),
    pgettext_noop("csv", "mttr_detik"),
    pgettext_noop("csv", "mtta_detik"),
    pgettext_noop("csv", "mtbf_detik"),
)
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run it


def text(report: Report, lang: LanguageCode) -> str:
    """Return the report as CSV; availability is empty where there is no headline number."""
    language = Language(lang, report.zone)
    out = io.StringIO()
    rows = csv.writer(out, delimiter=";", lineterminator="\r\n")
    rows.writerow([language.pgettext("csv", name) for name in _COLUMNS])
    rows.writerows([_cell(cell, language) for cell in _row(each, language)] for each in report.services)
    return "\ufeff" + out.getvalue()


def _row(each: ServiceReport, language: Language) -> list[str | int | Fraction | None]:
    counted = each.figures
    return [
        each.id,
        each.name,
        each.agency_name,
        each.criticality,
        language.as_written(each.target),
        language.gettext(VERDICTS[each.verdict]),
        counted.availability if each.headline else None,
        counted.lower,
        counted.upper,
        counted.coverage,
        counted.with_maintenance if each.headline else None,
        counted.slow,
        Fraction(counted.down, 1000),
        each.started,
        Fraction(counted.agreed, 1000),
        Fraction(counted.maint, 1000),
        Fraction(counted.unknown, 1000),
        _mean(each.repair),
        _mean(each.response),
        None if each.between is None else each.between / 1000,
    ]


def _mean(times: Times | None) -> Fraction | None:
    return None if times is None else times.mean / 1000


def _cell(value: str | int | Fraction | None, language: Language) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_DANGEROUS) else value
    if isinstance(value, Fraction):
        return language.figure(value)
    return "" if value is None else str(value)
