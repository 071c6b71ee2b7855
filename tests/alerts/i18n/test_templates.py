"""Texts in templates: filled, in the right form, escaped once."""

import pytest
from jinja2 import DictLoader, Environment

from alerts.i18n.language import Language
from alerts.i18n.templates import template_globals


@pytest.fixture
def page():
    def render(source, code="en", **values):
        environment = Environment(loader=DictLoader({"page": source}), autoescape=True)
        environment.globals.update(template_globals(Language(code, "Asia/Jakarta")))
        return environment.get_template("page").render(values)

    return render


def test_what_goes_into_a_text_is_escaped_once_also_when_a_macro_made_it(page):
    source = '{% macro name(text) %}{{ text }}{% endmacro %}{{ _("oleh {who}", who=name(who)) }}|{{ _("oleh {who}", who=who) }}'
    assert page(source, who="Ani <b> & Budi") == "|".join(["by Ani &lt;b&gt; &amp; Budi"] * 2)


def test_a_brace_in_what_goes_into_a_text_is_only_that(page):
    assert page('{{ _("oleh {who}", who=who) }}', who="{who.__class__} {0}") == "by {who.__class__} {0}"


@pytest.mark.parametrize(("n", "shown"), [(1, "1 service"), (2, "2 services"), (0, "0 services")])
def test_a_counted_text_has_the_form_of_its_number(page, n, shown):
    source = '{{ ngettext("{n} layanan", "{n} layanan", n, n=n) }}'
    assert page(source, n=n) == shown
    assert page(source, "id", n=n) == f"{n} layanan"


def test_the_same_words_mean_what_their_place_says(page):
    assert page('{{ _("Layanan") }} {{ pgettext("column", "Layanan") }}') == "Services Service"
