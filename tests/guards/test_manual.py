"""Help, manual pages, completions and the commands of the pages say what the command lines take."""

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from parts import require

from server.cli.examples import EXAMPLES, walk

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def _manual():
    spec = importlib.util.spec_from_file_location("manual", ROOT / "docs/manual.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PARSERS, document = _manual().PARSERS, _manual().document
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def refused(words):
    """Return why a command line is not taken, or nothing; asking for help is taken."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            PARSERS[words[0]]().parse_args(words[1:])
    except SystemExit as end:
        return said.getvalue() if end.code else ""
    return ""


def commands(text):
    """Yield the commands of Pantau in the blocks of a page, without what a shell does with them."""
    blocks = re.findall(r"^(?: {4}.*|```sh\n[\s\S]*?^```)$", text, flags=re.MULTILINE)
    text = re.sub(r"\"?\$\((?:[^()]|\([^()]*\))*\)\"?", "2026-11", "\n".join(blocks).replace("\\\n", " "))
    for line in text.splitlines():
        for part in re.split(r"&& |; |\| ", line):
            plain = re.split(r"\s+(?:#|>|<)\s*", part.strip())[0]
            if re.match(r"pantau(-agent)? ", plain):
                yield shlex.split(plain.replace(" ...", ""))


@pytest.mark.parametrize("program", PARSERS)
def test_the_manual_page_names_every_command_with_its_options_and_examples(program, tmp_path):
    page = document(program, "man")
    plain = page.replace("\\", "")
    for path, command in walk(PARSERS[program]()):
        assert f"{program} {path}".strip() in plain
        for action in command._actions:
            assert all(option in plain for option in action.option_strings if option not in {"-h", "--help"})
    assert "EXIT STATUS" in page
    assert f"{program} " in plain.partition("examples:")[2]
    (tmp_path / "page.1").write_text(page)
    told = subprocess.run(
        [require("groff", "groff-base"), "-man", "-Tutf8", "-ww", "-z", tmp_path / "page.1"],
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stderr) == (0, "")


def test_a_shell_completes_commands_verbs_and_options(tmp_path):
    (tmp_path / "pantau.bash").write_text(document("pantau", "bash"))
    script = f"""
    . {tmp_path}/pantau.bash
    complete_it() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_pantau; echo "${{COMPREPLY[*]}}"; }}
    complete_it pantau conf
    complete_it pantau config ch
    complete_it pantau enrol new --ho
    """
    told = subprocess.run([require("bash", "bash"), "-c", script], capture_output=True, text=True, check=True).stdout
    assert [line.split() for line in told.splitlines()] == [["config"], ["check"], ["--hosts", "--host"]]


@pytest.mark.parametrize("program", PARSERS)
def test_the_completion_for_zsh_names_every_command(program):
    text = document(program, "zsh")
    assert text.startswith("#compdef " + program)
    assert all(path.split()[-1] in text for path, _ in walk(PARSERS[program]()) if path)


def test_every_example_is_taken():
    for path, lines in EXAMPLES.items():
        for typed, _ in lines:
            if "COMMAND" not in typed:
                words = shlex.split(typed.partition(" < ")[0])
                assert not refused(words), typed
                assert not path or " ".join(words[1:]).startswith(path.split()[0])


def test_examples_belong_to_commands_and_every_command_has_some():
    known = dict(walk(PARSERS["pantau"]()))
    assert EXAMPLES.keys() <= known.keys()
    groups = {path.split()[0] for path in known if path}
    assert {path.split()[0] for path in EXAMPLES if path} == groups
    assert all(isinstance(command, argparse.ArgumentParser) and command.format_help() for command in known.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_taken(page):
    for words in commands(page.read_text(encoding="utf-8")):
        assert not refused(words), shlex.join(words)


def test_commands_are_found_in_both_kinds_of_blocks():
    text = "    pantau host list   # all\n\n```sh\npantau token x && pantau-agent doctor\n```\n"
    assert list(commands(text)) == [["pantau", "host", "list"], ["pantau", "token", "x"], ["pantau-agent", "doctor"]]
