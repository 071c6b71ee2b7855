"""The words for what figures say about a target."""

from typing import Final

from alerts.i18n.catalogue import gettext_noop
from server.evaluation.standard import Verdict

VERDICTS: Final = {
    Verdict.MET: gettext_noop("memenuhi"),
    Verdict.MISSED: gettext_noop("tidak memenuhi"),
    Verdict.OPEN: gettext_noop("belum dapat disimpulkan"),
    Verdict.UNRATED: gettext_noop("tidak dinilai"),
}
