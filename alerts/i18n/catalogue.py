"""The catalogue of texts for people, as gettext has it.

The Indonesian text stands in the code and is the key; ``locale/LANGUAGE/LC_MESSAGES/pantau.po`` has each other language. The ``.po``
is what runs: it is read at start, so there is no compiled form that could be old. Texts have named gaps: ``{n} dari {all}``.
"""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LanguageCode = Literal["id", "en"]

SOURCE: Final[LanguageCode] = "id"
CODES: Final[tuple[LanguageCode, ...]] = ("id", "en")

# how texts are marked in Python and in templates, as Babel's extractors are told it (1 is the text, 1c its context)
KEYWORDS: Final = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_noop": ((1, "c"), 2),
}


def gettext_noop(text: str) -> str:
    """Return the text as it is; it marks one that ``gettext`` translates later."""
    return text


def pgettext_noop(_context: str, text: str) -> str:
    """Return the text as it is; it marks one that ``pgettext`` translates later, with the same context."""
    return text


def read(code: LanguageCode) -> Catalog:
    """Return the ``.po`` of a language that is not the source. Reads a file; PoFileError says which line is wrong."""
    path = Path(__file__).parent / "locale" / code / "LC_MESSAGES" / "pantau.po"
    with path.open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


@cache
def translations(code: LanguageCode) -> NullTranslations:
    """Return the translations of a language; the source language has its texts already. Reads a file the first time."""
    if code == SOURCE:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read(code))
    compiled.seek(0)
    return GNUTranslations(compiled)


class Texts:
    """The texts of one language. Building it reads a file the first time, so it is done off the event loop."""

    def __init__(self, code: LanguageCode) -> None:
        self.code: LanguageCode = code
        self._translations = translations(code)

    def gettext(self, text: str, **values: object) -> str:
        """Return a text in this language with its gaps filled."""
        return _filled(self._translations.gettext(text) if text else "", values)

    def pgettext(self, context: str, text: str, **values: object) -> str:
        """Return a text that means something else elsewhere; ``context`` says which meaning."""
        return _filled(self._translations.pgettext(context, text), values)

    def ngettext(self, singular: str, plural: str, count: int, **values: object) -> str:
        """Return a text in the form that ``count`` needs; Indonesian has one form for every count."""
        return _filled(self._translations.ngettext(singular, plural, count), values)


def _filled(text: str, values: dict[str, object]) -> str:
    return text.format_map(values) if values else text
