"""What is untranslated is red: every marked text has its translation, and every translation is used and loaded as it stands."""

import ast
import io
import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from guards import texts

from alerts.i18n.catalogue import CODES, KEYWORDS, SOURCE, Texts, read
from alerts.i18n.glossary import REASONS, SEVERITIES, STATUSES
from server.cli.store_words import WORDS
from server.readmodel import charts
from server.report.verdict_words import VERDICTS
from server.web.pages.service import PHASES

GAP = re.compile(r"\{\w+\}")
TRANSLATED = [code for code in CODES if code != SOURCE]
TEMPLATES = [file for file in texts.files() if file.suffix == ".html"]


def key(message):
    return message.context, message.id


def forms(text):
    return [text] if isinstance(text, str) else list(text)


def gaps(text):
    return sorted(GAP.findall(text))


def faults(marked, known):
    """Tell everything that is wrong with a catalogue, given the texts that are marked."""
    translations = {key(message): message for message in known if message.id}
    wanted = {key(message): message for message in marked if message.id}
    found = [f"nothing uses {one}" for one in translations.keys() - wanted.keys()]
    for one, message in wanted.items():
        where = f"{one} ({message.locations[0][0]})"
        told = translations.get(one)
        if told is None or not all(forms(told.string)):
            found.append(f"no translation of {where}")
        elif told.fuzzy:
            found.append(f"a fuzzy translation of {where}")
        elif any(gaps(text) != gaps(forms(message.id)[0]) for text in [*forms(message.id), *forms(told.string)]):
            found.append(f"other gaps in {where}")
        elif any("%(" in text or len(re.findall(r"[{}]", text)) != 2 * len(gaps(text)) for text in forms(told.string)):
            found.append(f"gaps are written {{name}}: {where}")
    return found


@pytest.fixture(scope="module")
def marked():
    return texts.extracted()


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_text_is_translated_and_every_translation_is_used(marked, code):
    assert faults(marked, read(code)) == [], "run `make texts`, then fill in what is empty"


@pytest.mark.parametrize("code", TRANSLATED)
def test_the_catalogue_lies_as_make_texts_writes_it(code):
    written = io.BytesIO()
    texts.write(texts.renewed(code), written)
    file = texts.ROOT / "alerts/i18n/locale" / code / "LC_MESSAGES/pantau.po"
    assert file.read_bytes() == written.getvalue(), "run `make texts`"


@pytest.mark.parametrize("code", CODES)
def test_what_is_loaded_says_what_the_catalogue_says(marked, code):
    language, known = Texts(code), marked if code == SOURCE else read(code)
    for message in marked:
        if not message.id:
            continue
        first = forms(message.id)[0]
        told = message.id if code == SOURCE else known.get(message.id, message.context).string
        if message.pluralizable:
            one, many = forms(told)
            assert [language.ngettext(first, first, n) for n in (0, 1, 2, 11)] == [many, one, many, many]
        elif message.context:
            assert language.pgettext(message.context, first) == told
        else:
            assert language.gettext(first) == told


def test_each_fault_of_a_catalogue_is_found():
    asked, told = Catalog(), Catalog(locale="en")
    for text in ("satu", "dua", "tiga {n}", "empat", "lima {n}", ("{n} hari", "{n} hari"), "tujuh"):
        asked.add(text, locations=[("page.html", 1)])
    told.add("satu", "one")
    told.add("dua", "")
    told.add("tiga {n}", "three {m}")
    told.add("empat", "four", flags=["fuzzy"])
    told.add("lima {n}", "five {n} {")
    told.add(("{n} hari", "{n} hari"), ("{n} day", ""))
    told.add("delapan", "eight")
    assert sorted(faults(asked, told)) == [
        "a fuzzy translation of (None, 'empat') (page.html)",
        "gaps are written {name}: (None, 'lima {n}') (page.html)",
        "no translation of (None, 'dua') (page.html)",
        "no translation of (None, 'tujuh') (page.html)",
        "no translation of (None, ('{n} hari', '{n} hari')) (page.html)",
        "nothing uses (None, 'delapan')",
        "other gaps in (None, 'tiga {n}') (page.html)",
    ]


def test_texts_are_found_in_code_and_in_templates_however_they_are_marked():
    code = b"""a = gettext_noop("satu"); b = pgettext_noop("ruang", "dua"); c = language.gettext("tiga {n}", n=1)
d = language.ngettext("{n} hari", "{n} hari", 4, n=4); e = language.pgettext("pintu", "empat")"""
    page = b"""<p title="{{ _('lima {n}', n=1) }}">{{ ngettext("{n} jam", "{n} jam", n, n=n) }}{{ pgettext("kolom", "enam") }}</p>"""
    found = [
        (context, text)
        for kind, source in (("python", code), ("jinja2.ext:babel_extract", page))
        for _, text, _, context in extract(kind, io.BytesIO(source), KEYWORDS)
    ]
    assert found == [
        (None, "satu"),
        ("ruang", "dua"),
        (None, "tiga {n}"),
        (None, ("{n} hari", "{n} hari")),
        ("pintu", "empat"),
        (None, "lima {n}"),
        (None, ("{n} jam", "{n} jam")),
        ("kolom", "enam"),
    ]


def literal_texts(source):
    """Yield the texts that calls of marking functions are given, wherever they stand in code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = 1 if name in {"pgettext", "pgettext_noop"} else 0
            if name in KEYWORDS and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                yield node.args[place].value


def test_no_text_is_marked_where_babel_cannot_see_it(marked):
    # before Python 3.12 a call inside an f-string is part of one string
    assert list(literal_texts("f\"{language.gettext('satu')}\"; pgettext_noop('ruang', 'dua')")) == ["dua", "satu"]
    seen = {forms(message.id)[0] for message in marked}
    for file in texts.files():
        if file.suffix == ".py":
            assert [text for text in literal_texts(file.read_text("utf-8")) if text not in seen] == [], file


def test_words_that_are_translated_where_they_are_shown_are_marked_where_they_stand(marked):
    shown = {*PHASES.values(), *STATUSES.values(), *SEVERITIES.values(), *VERDICTS.values(), *WORDS.values()}
    shown |= {text for pair in REASONS.values() for text in pair}
    for chart in (*charts.of_host("x"), *charts.of_device("x"), *charts.of_service("x")):
        shown |= {chart.title, *(line.label for line in chart.lines)} - {""}
    assert shown <= {message.id for message in marked}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.relative_to(texts.ROOT).as_posix())
def test_templates_hold_no_text_outside_of_the_catalogue(template):
    plain = re.compile(r">\s*([A-Za-z][a-z]{2,}[^<{%]*)<")
    assert plain.findall(re.sub(r"<style>.*?</style>", "", template.read_text("utf-8"), flags=re.DOTALL)) == []
