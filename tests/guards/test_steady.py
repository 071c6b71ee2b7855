"""Two runs of the tests with one seed draw the same examples."""

import importlib
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers


def examples():
    drawn = []

    @settings(settings.get_profile("pantau-steady"), max_examples=200)
    @given(st.text(max_size=12), st.integers())
    def draw(text, number):
        drawn.append((text, number))

    draw()
    return drawn


def test_examples_do_not_depend_on_what_is_loaded(monkeypatch, tmp_path):
    before = examples()
    words = "".join(f"W{number} = 'word {number}', {number + 700_000}\n" for number in range(500))
    Path(tmp_path, "stranger_of_steady.py").write_text(words)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("stranger_of_steady")
    assert examples() == before
    del sys.modules["stranger_of_steady"]


def test_constants_of_our_own_modules_are_among_what_is_drawn_from():
    assert set(providers._get_local_constants().strings) >= {"_field", "_measurement"}
