"""The pages that are typed: what is left out says why, and what a shell or a parser would not take is red without a machine."""

import re
import subprocess

import pytest
from pages import DOCS, Step, put, steps

TYPED = ("install.md", "first-hour.md", "operate.md", "connect.md")
STEPS = [step for page in TYPED for step in steps(page)]


@pytest.mark.parametrize("step", [step for step in STEPS if step.kind == "sh"], ids=str)
def test_a_shell_reads_it(step):
    assert subprocess.run(["bash", "-n", "-c", step.text], capture_output=True, text=True).stderr == ""


def test_most_of_it_is_typed_by_a_test():
    left_out = [step for step in STEPS if step.why_not]
    assert all(len(step.why_not.split()) > 3 for step in left_out), "say why"
    assert len(left_out) < len(STEPS) / 4


@pytest.mark.parametrize("page", TYPED)
def test_its_links_lead_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
        file = DOCS / (target or page)
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}, anchor


def test_a_table_is_edited_in_place():
    step = Step("x.md", 1, "edit", "[server]\nlisten = 1\n", file="f")
    before = "# top\n[server]\nold = 2\n\n[store]\ntype = 3\n"
    assert put(step, before) == "# top\n[server]\nlisten = 1\n\n[store]\ntype = 3\n"
    with pytest.raises(AssertionError, match="has no table"):
        put(step, "[store]\n")
