"""The unit files: systemd finds nothing to complain of, and they stay as confined as the operations page says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from parts import require

from server.cli.backup import FOLDER, KEEP

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "configs/systemd"
DROP_INS = sorted((UNITS / "pantau-agent.service.d").glob("*.conf.example"))
EXPOSURE = {"pantau-agent": 1.5, "pantau-backup": 1.2, "pantau-server": 1.4}


@pytest.fixture
def analyze():
    """Run systemd-analyze; return its exit code and what it said."""
    binary = require("systemd-analyze", "systemd")

    def run(*arguments):
        ended = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    return run


def lay(folder, name, *drop_ins):
    """Copy a unit with programs that are there; return its file."""
    unit = folder / f"{name}.service"
    text = re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", (UNITS / unit.name).read_text(), flags=re.MULTILINE)
    unit.write_text(text)
    for drop_in in drop_ins:
        (folder / f"{name}.service.d").mkdir(exist_ok=True)
        shutil.copy(drop_in, folder / f"{name}.service.d" / drop_in.name.removesuffix(".example"))
    return unit


@pytest.mark.parametrize("name", sorted(EXPOSURE))
def test_systemd_has_nothing_to_complain_of(analyze, tmp_path, name):
    assert analyze("verify", "--man=no", lay(tmp_path, name)) == (0, "")


def test_the_timer_finds_its_service(analyze, tmp_path):
    lay(tmp_path, "pantau-backup")
    timer = shutil.copy(UNITS / "pantau-backup.timer", tmp_path)
    assert analyze("verify", "--man=no", timer) == (0, "")


def test_the_backup_has_the_users_rights_and_keeps_as_many_as_the_command_says():
    text = (UNITS / "pantau-backup.service").read_text()
    folder, keep = re.search(r"--into (\S+) --keep (\d+)", text).groups()
    assert {"User=pantau", f"ReadWritePaths=-{folder}", "Type=oneshot"} <= set(text.splitlines())
    assert (folder, int(keep)) == (FOLDER, KEEP)


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda file: file.name.partition(".")[0])
def test_each_drop_in_fits_onto_the_unit(analyze, tmp_path, drop_in):
    assert analyze("verify", "--man=no", lay(tmp_path, "pantau-agent", drop_in)) == (0, "")


def test_a_drop_in_with_an_unknown_key_would_be_noticed(analyze, tmp_path):
    wrong = tmp_path / "wrong.conf.example"
    wrong.write_text("[Service]\nNoSuchKey=yes\n")
    assert "NoSuchKey" in analyze("verify", "--man=no", lay(tmp_path, "pantau-agent", wrong))[1]


@pytest.mark.parametrize(("name", "exposure"), sorted(EXPOSURE.items()))
def test_the_exposure_is_the_one_that_the_operations_page_states(analyze, name, exposure):
    _, told = analyze("security", "--offline=true", "--no-pager", UNITS / f"{name}.service")
    measured = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", told)[1])
    assert measured <= exposure
    stated = re.search(rf"`{name}.service`: (\d+\.\d)", (ROOT / "docs/operations.md").read_text())
    assert float(stated[1]) == exposure


def test_a_centre_that_hangs_is_started_again_and_one_that_is_told_reads_its_settings():
    text = (UNITS / "pantau-server.service").read_text()
    assert {
        "Type=notify",
        "WatchdogSec=60",
        "ExecReload=/opt/pantau/bin/pantau reload --settings /etc/pantau/server.toml",
        "RestartPreventExitStatus=2",
        "TimeoutStartSec=infinity",
    } <= set(text.splitlines())


def test_the_watchdog_leaves_the_agent_time_to_tell_that_it_lives():
    text = (UNITS / "pantau-agent.service").read_text()
    assert {"Type=notify", "WatchdogSec=60", "User=pantau-agent", "StateDirectory=pantau-agent"} <= set(
        text.splitlines()
    )
