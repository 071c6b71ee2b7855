"""All texts that code and templates mark, and the catalogue of a language with exactly those; ``make texts`` writes it.

A new text gets an empty translation, to be filled in by hand; one that nothing uses any more is left out.
"""

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from alerts.i18n.catalogue import KEYWORDS, SOURCE, read

ROOT = Path(__file__).parents[2]
HEADER = """\
# The {language} texts of the centre: messages, pages, reports, commands. The Indonesian ones stand in the code and are the keys.
# `make texts` adds new ones, empty, and drops what nothing uses; the translations are written by hand.
msgid ""
msgstr ""
"Language: {code}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
EXTRACTORS = {".py": "python", ".html": "jinja2.ext:babel_extract"}


def files():
    """Yield every file whose texts people of the centre read."""
    for package in ("alerts", "server"):
        for kind in EXTRACTORS:
            yield from sorted((ROOT / package).rglob(f"*{kind}"))


def extracted():
    """Return every marked text with the places where it stands."""
    found = Catalog(locale=SOURCE)
    for file in files():
        texts = extract_from_file(EXTRACTORS[file.suffix], str(file), keywords=KEYWORDS)
        for line, text, _comments, context in texts:
            found.add(text, locations=[(file.relative_to(ROOT).as_posix(), line)], context=context)
    return found


def renewed(code):
    """Return the catalogue of a language: its translations of exactly the texts that are marked now."""
    known = read(code)
    made = Catalog(locale=code)
    for message in extracted():
        if message.id:
            before = known.get(message.id, message.context)
            empty = ("",) * made.num_plurals if message.pluralizable else ""
            kept = before.string if before and before.pluralizable == message.pluralizable else empty
            made.add(message.id, kept, context=message.context, flags=before.flags if before else ())
    return made


def write(catalogue, file):
    """Write a catalogue as it lies in the house: sorted, a text on one line, no line numbers and no dates that change by themselves."""
    language = catalogue.locale.english_name
    file.write(HEADER.format(language=language, code=catalogue.locale, plurals=catalogue.plural_forms).encode())
    write_po(file, catalogue, width=0, no_location=True, omit_header=True, sort_output=True)


if __name__ == "__main__":
    (code,) = sys.argv[1:]
    write(renewed(code), sys.stdout.buffer)
