"""The example play and its roles: Ansible takes them, and no secret shows or stands on a command line."""

import os
import subprocess
from pathlib import Path

import pytest
from parts import require

HERE = Path(__file__).parents[2] / "configs/ansible"
ROLES = sorted(folder.name for folder in (HERE / "roles").iterdir())


def play(folder, *words):
    binary = require("ansible-playbook", "ansible-core")
    command = [binary, "-i", HERE / "inventory.example.yml", *words, HERE / "site.yml"]
    settings = {"ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings}, timeout=100)


def tasks(role):
    """Return the tasks of a role, each as its text."""
    return (HERE / "roles" / role / "tasks/main.yml").read_text().split("\n- name: ")[1:]


def test_ansible_takes_the_example(tmp_path):
    ended = play(tmp_path, "--syntax-check")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_each_role_installs_settles_and_starts(tmp_path):
    told = play(tmp_path, "--list-tasks").stdout
    for role in ROLES:
        assert f"{role} : Install the package" in told
        assert f"{role} : Have the {role.removeprefix('pantau_')} run now and at each start" in told


@pytest.mark.parametrize("role", ROLES)
def test_what_holds_a_secret_is_not_logged_and_not_on_a_command_line(role):
    for task in tasks(role):
        holds = [
            line
            for line in task.splitlines()
            if any(word in line for word in ("item.value", "_password }}", "_token }}"))
        ]
        assert not holds or "no_log: true" in task, task
        assert all(line.strip().startswith(("stdin:", "content:")) for line in holds), task


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_has_a_default(role):
    told = (HERE / "roles" / role / "defaults/main.yml").read_text()
    known = {line.partition(":")[0] for line in told.splitlines() if line.startswith("pantau_")}
    used = {
        word.strip("\"'(){}|:,")
        for task in tasks(role)
        for word in task.split()
        if word.strip("\"'({").startswith(f"{role}_")
    }
    made = {f"{role}_users", f"{role}_users.stdout.split"}
    assert used - made == known
