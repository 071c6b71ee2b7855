"""Where settings are looked for that nobody names: the same for every command."""

import subprocess
import sys
from pathlib import Path

import pytest

from configs.place import elsewhere, settings_file
from server.cli.main import main

NAME = "server.toml"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine whose settings are in its own folder, and a command that is typed in another one."""
    folder = tmp_path / "etc"
    (tmp_path / "here").mkdir()
    folder.mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def find(given, system, **environment):
    return settings_file(given, NAME, environment=environment, system=system)


def test_what_is_given_wins_over_all_places(system):
    (system / NAME).touch()
    assert find("mine.toml", system, PANTAU_SETTINGS="/other.toml") == Path("mine.toml")


def test_the_environment_names_a_file_or_a_folder_that_holds_one(system, tmp_path):
    (system / NAME).touch()
    assert find(None, system, PANTAU_SETTINGS="/other.toml") == Path("/other.toml")
    assert find(None, system, PANTAU_SETTINGS=str(tmp_path)) == tmp_path / NAME


def test_the_system_s_settings_come_before_those_of_this_folder(system):
    Path(NAME).touch()
    assert find("", system) == Path(NAME)
    (system / NAME).touch()
    assert find("", system) == system / NAME


def test_settings_that_are_made_are_made_for_the_service(system):
    Path(NAME).touch()
    assert settings_file(None, NAME, environment={}, system=system, make=True) == system / NAME


def test_a_missing_file_is_told_with_the_places_where_it_was_looked_for(system):
    assert elsewhere(NAME, system) == (
        f", nor is there {system / NAME}; name the file: --settings PATH or PANTAU_SETTINGS=PATH"
    )


def test_a_missing_file_that_was_named_is_told_alone(system):
    assert not elsewhere(system / NAME, system)
    (system / NAME).touch()
    assert not elsewhere(NAME, system)  # else it had been taken


COMMANDS = [
    ["server"],
    ["config", "check"],
    ["user", "list"],
    ["enrol", "list"],
    ["host", "list"],
    ["report"],
    ["maintenance", "list"],
    ["store", "check"],
    ["store", "delete", "cpu"],
    ["store", "copy", "--from", "embedded", "--to", "influx"],
    ["backup", "--to", "copy"],
    ["restore", "--from", "copy"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_every_command_looks_in_the_same_places(words, system, monkeypatch, capsys):
    monkeypatch.setenv("PANTAU_SETTINGS", str(system))
    assert main(words) == 2
    assert capsys.readouterr().err.removeprefix("pantau: ") == f"{system / NAME}: No such file or directory\n"


def test_settings_are_checked_without_naming_them(system, monkeypatch, capsys):
    monkeypatch.setenv("PANTAU_SETTINGS", str(system))
    (system / NAME).touch()
    (system / "services.toml").touch()
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == f"{system / NAME}: good server settings\n"
    (system / "agent.toml").write_text('[output]\nurl = "nowhere"\n')
    assert main(["config", "check"]) == 2
    assert "agent.toml:2: 'url' in [output]" in capsys.readouterr().err


def test_the_agent_looks_in_the_same_places(system):
    (system / "agent.toml").write_text('[output]\nurl = "http://127.0.0.1:8420"\n[collectors.cpu]\n')
    command = [sys.executable, "-m", "agent.cli", "--check"]
    done = subprocess.run(command, env={"PANTAU_SETTINGS": str(system)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{system / 'agent.toml'}: can be used; 1 collectors: cpu\n")
