"""The doctor names what is wrong and the command that mends it, in both languages; its exit code tells how bad it is."""

import fcntl
import pwd
import sqlite3
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import free_port

from agent import doctor, settings
from agent.batchfile import BatchFile
from agent.findings import WORDS, Finding, tell
from collectors.host import COLLECTORS

SETPRIV = "setpriv --reuid={0} --regid={0} --clear-groups"
MINE = """
import msgspec

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    raises: str = ""

class Mine:
    def __init__(self, options, roots):
        self.raises = options.raises
    async def collect(self, now):
        if self.raises:
            raise eval(self.raises)
        return []
"""


@pytest.fixture
def host(tmp_path, centre, monkeypatch):
    """An agent's files; ``host.write(...)`` changes the settings, ``host.found()`` is what the doctor finds: word -> finding."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)

    class Host:
        file = tmp_path / "agent.toml"
        token = tmp_path / "agent.token"
        state = tmp_path / "state"

        def write(self, url=centre.url, token='{ file = "agent.token" }', collectors="", spool=""):
            token = f"token = {token}" if token else ""
            self.file.write_text(
                f'[output]\nurl = "{url}"\n{token}\n[agent]\nstate_dir = "state"\nhost = "srv-1"\n'
                f'[spool]\nmin_free = "1KB"\n{spool}\n[collectors.mine]\ntype = "mine:Mine"\n{collectors}'
            )

        def found(self):
            return {finding.what: finding for finding in doctor.examine(self.file)}

    few = ("cpu", "mem", "swap", "mdstat")  # to try all of them takes two seconds
    monkeypatch.setattr(doctor, "COLLECTORS", {name: COLLECTORS[name] for name in few})
    found = Host()
    found.token.write_text("secret-1\n")
    found.token.chmod(0o600)
    found.write()
    return found


def bad(found):
    return {word for word, finding in found.items() if finding.level == "bad"}


def test_a_host_where_all_is_well(host, monkeypatch, centre):
    monkeypatch.setattr(doctor, "COLLECTORS", COLLECTORS)
    host.state.mkdir()
    with (host.state / "lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = host.found()
    assert bad(found) == set()
    assert found["running"].values == {"process": "4711"}
    assert found["collects"].values == {"names": "mine"}
    (_, headers, lines, _) = centre.requests[0]
    assert (headers["Authorization"], lines) == ("Token secret-1", [])
    assert "X-Pantau-Machine" in headers


def test_missing_and_wrong_settings_end_it_at_once(host):
    host.file.write_text("[agent]\nintervall = 1\n")
    assert list(host.found()) == ["settings_bad"]
    host.file.unlink()
    assert host.found()["settings_missing"].mend == ("pantau-agent join URL",)


def test_the_token(host):
    host.token.chmod(0o644)
    assert host.found()["token_open"].mend == (f"chmod 600 {host.token}",)
    host.token.unlink()
    assert "cannot read the secret file" in host.found()["token_bad"].values["why"]
    host.write(token="")
    assert host.found()["token_none"].level == "note"


def test_the_way_to_the_centre(host, centre):
    host.write(url="http://no-such-name.invalid:1")
    assert host.found()["name_bad"].mend == ("getent hosts no-such-name.invalid",)
    host.write(url=f"http://127.0.0.1:{free_port()}")
    assert host.found()["centre_away"].values["why"] == "Connection refused"


@pytest.mark.parametrize(
    ("mood", "word"),
    [
        (401, "centre_token"),
        (403, "centre_machine"),
        (404, "centre_bucket"),
        (503, "centre_odd"),
        ((200, {"Content-Type": "text/html"}, "<html>log in</html>"), "centre_odd"),
    ],
)
def test_what_the_centre_answers(host, centre, mood, word):
    centre.mood = mood
    found = host.found()
    assert word in bad(found)
    assert found[word].mend or word == "centre_bucket"


def test_a_centre_of_another_version_is_told_of(host, centre):
    assert "versions" not in host.found()
    centre.mood = (204, {"X-Pantau-Version": "9.0.0"}, "")
    found = host.found()
    assert (found["centre"].level, found["versions"].values["theirs"]) == ("well", "9.0.0")


def test_a_spool_of_another_version_is_told_of(host):
    folder = host.state
    folder.mkdir(exist_ok=True)
    (folder / "spool.db.layout2").write_bytes(b"")
    assert host.found()["spool_newer"].values["file"] == str(folder / "spool.db.layout2")


def test_a_clock_that_is_off(host, centre):
    assert host.found()["clock"].level == "well"
    found = settings.read(host.file)

    late = doctor.Clock(wall=lambda: time.time_ns() - 3_600_000_000_000)
    said = {finding.what: finding for finding in doctor.centre(found, host.file, late)}
    assert said["clock_bad"].values["offset"] == pytest.approx(3600, abs=3)
    assert said["clock_bad"].mend == ("timedatectl set-ntp true",)


def test_an_agent_that_does_not_run(host):
    assert "running_not" in bad(host.found())
    host.state.mkdir()
    (host.state / "lock").write_text("4711")
    assert "running_not" in bad(host.found())


@pytest.mark.parametrize(
    ("file", "systemd", "user", "command"),
    [
        ("/etc/pantau/agent.toml", True, True, "systemctl enable --now pantau-agent.service"),
        ("/etc/pantau/agent.toml", False, True, f"{SETPRIV} pantau-agent &"),
        ("/srv/my agent.toml", True, True, f"{SETPRIV} pantau-agent --settings '/srv/my agent.toml' &"),
        ("/srv/agent.toml", False, False, "pantau-agent --settings /srv/agent.toml &"),
    ],
)
def test_the_command_that_starts_the_agent_is_for_these_settings_and_this_machine(
    tmp_path, file, systemd, user, command
):
    name = pwd.getpwuid(0).pw_name if user else "nobody-of-that-name"
    (found,) = doctor.service(tmp_path, Path(file), user=name, systemd=tmp_path if systemd else tmp_path / "none")
    assert found.mend == (command.format(name),)


def test_the_spool(host):
    host.state.mkdir()
    file = host.state / "spool.db"
    BatchFile(file).close()
    assert host.found()["spool"].values == {"waiting": 0}
    assert {one.name for one in host.state.iterdir()} == {"spool.db"}
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO batch VALUES (1, 1000, 12, x'00')")
        db.execute("UPDATE tally SET dropped = 3, quarantined = 2, rejected = 1")
    db.close()
    (host.state / "spool.db.corrupt").touch()
    found = host.found()
    assert found["spool_behind"].values["waiting"] == 12
    assert found["spool_lost"].values == {"dropped": 3}
    assert found["spool_refused"].values == {"quarantined": 2, "rejected": 1}
    assert found["spool_corrupt"].mend == (f"rm {host.state}/spool.db.corrupt",)
    file.write_bytes(b"no database")
    assert "spool_unread" in host.found()


def test_a_disk_that_is_short_of_space(host):
    host.state.mkdir()
    host.file.write_text(host.file.read_text().replace("1KB", "1000000GB"))
    assert host.found()["disk_full"].mend == (f"df -h {host.state}",)


@pytest.mark.parametrize(
    ("raises", "word", "values"),
    [
        ("FileNotFoundError(2, 'No such file', '/proc/x')", "lacks", {"what": "/proc/x"}),
        ("PermissionError(13, 'Permission denied', '/dev/x')", "forbidden", {"what": "/dev/x"}),
        ("TimeoutError(110, 'no end')", "slow", {}),
        ("ValueError('odd')", "fails", {"why": "ValueError: odd"}),
    ],
)
def test_a_collector_that_fails_is_explained(host, raises, word, values):
    host.write(collectors=f'[collectors.other]\ntype = "mine:Mine"\nraises = """{raises}"""')
    found = host.found()
    assert word in bad(found)
    assert values.items() <= found[word].values.items()
    assert found[word].values["name"] == "other"
    assert found["collects"].values == {"names": "mine"}


def test_what_brings_a_program_and_what_gives_a_right():
    missing = doctor._explained("smart", FileNotFoundError(2, "No such file", "smartctl"))
    assert missing.mend[0].endswith(" install smartmontools")
    forbidden = doctor._explained("smart", PermissionError(13, "Permission denied", "/dev/sda"))
    assert "smart.conf.example /etc/systemd/system/pantau-agent.service.d/smart.conf" in forbidden.mend[0]


def test_each_drop_in_that_is_advised_is_there():
    there = {file.name.partition(".")[0] for file in doctor._EXAMPLES.glob("*.conf.example")}
    assert set(doctor._DROP_INS.values()) <= there


def test_what_could_be_collected_is_told_and_the_command_that_asks_for_it_works(host):
    could = host.found()["could"]
    assert "cpu" in could.values["names"]
    before = {unit.name for unit in settings.read(host.file).units}
    subprocess.run(["sh", "-c", *could.mend], check=True)
    wanted = {unit.name for unit in settings.read(host.file).units} - before
    assert wanted >= set(could.values["names"].split(", ")) - before


@pytest.mark.parametrize("word", sorted(WORDS))
def test_both_languages_tell_the_same(word):
    def places(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert places(WORDS[word]["id"]) == places(WORDS[word]["en"])
    assert WORDS[word]["id"] != WORDS[word]["en"]


def test_a_finding_is_told_with_its_command():
    finding = Finding("bad", "token_bad", {"why": "empty"}, ("one", "two"))
    assert tell(finding, "id") == "✗ token tidak terbaca: empty\n    → one\n    → two"
    assert tell(finding, "en").startswith("✗ the token cannot be read: empty\n")


def test_a_finding_shows_words_of_others_without_what_a_terminal_obeys():
    finding = Finding("bad", "fails", {"name": "exec", "why": "a\x1b[2Jb\x9b1A\u202ec"})
    assert tell(finding, "en") == "✗ exec is not collected: a?[2Jb?1A?c"


def run(host, *words):
    program = [sys.executable, "-m", "agent.cli", "--settings", host.file, "doctor", *words]
    return subprocess.run(
        program, capture_output=True, text=True, timeout=100, check=False, env={"PYTHONPATH": str(host.file.parent)}
    )


@pytest.mark.timeout(240)
def test_the_exit_code_tells_how_bad_it_is(host):
    ended = run(host)
    assert (ended.returncode, "agen tidak berjalan" in ended.stdout) == (1, True)
    host.file.write_text("[")
    ended = run(host, "--lang", "en")
    assert (ended.returncode, ended.stdout.startswith("✗ the settings cannot be used")) == (2, True)
