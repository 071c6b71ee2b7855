"""Undocumented is red: every setting stands in docs/settings.md as the code reads it, every setting has its words."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_of_settings_is_what_the_code_reads():
    spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    written = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert written == reference.document(), "docs/settings.md is old: run `make docs`"
