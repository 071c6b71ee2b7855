"""One language with everything that is told in it: texts, numbers, times, and the words of the glossary."""

import msgspec

from alerts.i18n.catalogue import CODES, LanguageCode
from alerts.i18n.glossary import REASONS, SEVERITIES, STATUSES
from alerts.i18n.times import TimeFormat
from alerts.state import Severity
from collectors.result import Reason, Status


class Explanation(msgspec.Struct, frozen=True):
    """A reason told to people: ``what`` happened (a clause, no full stop) and what to do about it (``todo``, a sentence)."""

    what: str
    todo: str


class Language(TimeFormat):
    """One language at one place. Building it reads files the first time, so it is done off the event loop."""

    def status(self, status: str) -> str:
        """Return the word of the glossary for a status: ``padam``, ``down``."""
        return self.gettext(STATUSES[Status(status)])

    def severity(self, severity: Severity) -> str:
        """Return the word for a severity: ``kritis``, ``critical``."""
        return self.gettext(SEVERITIES[severity])

    def reason(self, reason: Reason) -> Explanation:
        """Return a reason in plain words: what it is and what to do."""
        what, todo = REASONS[reason]
        return Explanation(self.gettext(what), self.gettext(todo))


def languages(zone: str) -> dict[LanguageCode, Language]:
    """Return every language, with the times of ``zone``. Reads files the first time."""
    return {code: Language(code, zone) for code in CODES}
