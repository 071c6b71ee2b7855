"""The agent is light: what it imports and what it weighs is fixed here, so that neither grows unnoticed."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.slim import without_heavy_modules
from agent.version import VERSION

PROJECT = Path(__file__).parents[2]
FOREIGN = {"msgspec"}
LEFT_OUT = {"ssl", "_ssl", "hashlib", "_hashlib", "ctypes", "sqlalchemy", "typing_extensions", "importlib.metadata"}
LEFT_OUT |= {"difflib", "shutil", "bz2", "lzma", "collectors.linereader"}
SCRIPT = """
import sys
before = sorted(sys.modules)
import json
from agent import cli
cli.run(["--settings", sys.argv[1], "--check"])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"before": before, "modules": sorted(sys.modules), "rss": int(status["VmRSS"].split()[0])}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    file = tmp_path_factory.mktemp("agent") / "agent.toml"
    file.write_text('[output]\nurl = "http://127.0.0.1:1"\n')
    command = [sys.executable, "-c", SCRIPT, file]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout
    return json.loads(told.splitlines()[-1])


def test_of_other_people_s_code_it_imports_only_msgspec(loaded):
    tops = {name.partition(".")[0] for name in loaded["modules"]}
    ours = {"agent", "collectors", "configs"}
    # what every interpreter here begins with is the machine's: Debian's sitecustomize, the way to an editable install
    begun = {name.partition(".")[0] for name in loaded["before"]}
    assert tops - sys.stdlib_module_names - ours - begun == FOREIGN


def test_heavy_parts_of_the_standard_library_stay_out(loaded):
    assert not LEFT_OUT & set(loaded["modules"])


def test_it_knows_nothing_of_checks_devices_alerts_and_the_centre(loaded):
    foreign = ("alerts", "server", "collectors.checks", "collectors.snmp", "collectors.result")
    assert not [name for name in loaded["modules"] if name.startswith(foreign)]


def test_with_everything_loaded_it_stays_below_23_mb(loaded):
    assert loaded["rss"] < 23 * 1024  # kB


def test_the_version_is_that_of_the_package():
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_hidden_modules_come_back_and_hiding_can_be_turned_off(monkeypatch):
    monkeypatch.delitem(sys.modules, "ssl", raising=False)
    with without_heavy_modules({}), pytest.raises(ImportError):
        import ssl
    import ssl

    assert ssl.SSLContext
    monkeypatch.delitem(sys.modules, "ssl")
    with without_heavy_modules({"PANTAU_AGENT_FULL": "1"}):
        assert "ssl" not in sys.modules
