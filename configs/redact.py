"""Keep secrets out of what people read: in addresses by their form, elsewhere by their value."""

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

HIDDEN: Final = "***"

_SECRET_KEY: Final = re.compile(r"(?i)token|key|secret|pass|pwd|auth|sig|session|sid|code|credential|otp|ticket")
_SHORTEST: Final = 3


def url(address: str) -> str:
    """Return a URL without user, password and fragment, and without the values of parameters that look like secrets."""
    try:
        parts = urlsplit(address)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    query = parts.query
    if any(_SECRET_KEY.search(key) for key, _ in pairs):
        query = urlencode([(key, HIDDEN if _SECRET_KEY.search(key) else value) for key, value in pairs], safe="*/:")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


class Veil:
    """The secrets of one run; ``over(text)`` hides them in plain, URL-quoted and base64 form."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these from now on; those shorter than three characters cannot be told from ordinary text."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                coded = base64.b64encode(secret.encode()).decode()
                self._forms |= {secret, quote(secret, safe=""), quote_plus(secret), coded, coded.rstrip("=")}

    def over(self, text: str) -> str:
        """Return ``text`` with every known secret replaced."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text
