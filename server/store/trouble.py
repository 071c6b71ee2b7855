"""What ails a store, told once when it begins and once when it ends."""

import logging
from typing import Final

_log: Final = logging.getLogger("pantau.store")


class Trouble:
    """The present trouble with ``what``; ``text`` is "" while there is none."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.text = ""

    def note(self, text: str) -> None:
        """Note how it went: "" when well. Only a change is logged."""
        if text and not self.text:
            _log.error("%s lost: %s", self._what, text)
        elif self.text and not text:
            _log.info("%s is back", self._what)
        self.text = text
