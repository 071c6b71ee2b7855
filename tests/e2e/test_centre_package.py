"""The centre's packages, installed without a network into an empty Debian, upgraded, taken back, removed; and the centre run there."""

import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from empty_root import Empty, root_with_our_python, run
from packages import built
from parts import daemon, free_port, require, wait_for

ROOT = Path(__file__).parents[2]
DATA = ("/var/lib/pantau", "/var/backups/pantau")
pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.may_block]


@pytest.fixture(scope="module")
def packages():
    """The .deb and the bundle."""
    folder = built()
    return next(folder.glob("pantau_*.deb")), next(folder.glob("pantau-[0-9]*.tar.gz"))


@pytest.fixture
def machine(tmp_path):
    found = Empty(tmp_path / "root", root_with_our_python())
    yield found
    shutil.rmtree(found.folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, packages):
    """A root with the .deb, for tests that install nothing more; ``told`` is what dpkg said."""
    found = Empty(tmp_path_factory.mktemp("installed") / "root", root_with_our_python())
    found.told = install(found, packages[0]).stdout
    yield found
    shutil.rmtree(found.folder)


def install(machine, deb, **more):
    shutil.copy(deb, machine.file("/centre.deb"))
    return machine.call("dpkg", "--install", "/centre.deb", **more)


def unpack(machine, tar):
    run("tar", "--extract", "--file", tar, "--directory", machine.file("/srv"))
    return f"/srv/{tar.name.removesuffix('.tar.gz')}/install.sh"


def version_of(deb):
    return run("dpkg-deb", "--field", deb, "Version").stdout.strip()


def other(deb, folder, version, *, spoil=""):
    """Make the package once more as another version; ``spoil`` goes to the start of its command line."""
    tree = folder / f"tree-{version}"
    run("dpkg-deb", "--raw-extract", deb, tree)
    (site,) = tree.glob("opt/pantau/lib/python*/site-packages")
    (known,) = site.glob("pantau-*.dist-info/METADATA")
    for file in (tree / "DEBIAN/control", known):
        file.write_text(file.read_text().replace(f"\nVersion: {version_of(deb)}\n", f"\nVersion: {version}\n"))
    if spoil:
        cli = site / "server/cli/main.py"
        cli.write_text(spoil + cli.read_text())
    made = folder / f"pantau_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, made)
    shutil.rmtree(tree)
    return made


class Centre:
    """The service as its unit says, for there is no systemd in a root: user, folders and command; the port is a free one."""

    def __init__(self, machine, folder="/usr/lib/systemd/system"):
        self._machine = machine
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        unit = machine.file(f"{folder}/pantau-server.service").read_text()
        said = dict(
            re.findall(r"^(User|Group|StateDirectory|WorkingDirectory|UMask|ExecStart)=(.*)$", unit, re.MULTILINE)
        )
        assert machine.mode(f"/var/lib/{said['StateDirectory']}") == (said["User"], said["Group"], "700")
        as_user = ["setpriv", f"--reuid={said['User']}", f"--regid={said['Group']}", "--clear-groups", "--no-new-privs"]
        start = f'cd {said["WorkingDirectory"]} && umask {said["UMask"]} && exec "$@"'
        self.command = ["sh", "-c", start, "sh", *as_user, *shlex.split(said["ExecStart"])]

    def running(self, log):
        settings = self._machine.file("/etc/pantau/server.toml")
        settings.write_text(
            re.sub(r'^listen = "[^"]*"', f'listen = "127.0.0.1:{self.port}"', settings.read_text(), flags=re.MULTILINE)
        )
        return daemon(self._machine.entering(*self.command, network=True), port=self.port, log=log, seconds=60)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def runs(machine, log, **more):
    """The centre as its unit starts it: pages and health answer, and stopped it has ended well."""
    centre = Centre(machine, **more)
    with centre.running(log) as process:
        wait_for(lambda: centre.get("/health")[0] == 200, 30, "a healthy centre")
        status, page = centre.get("/")
        assert (status, "<form" in page) == (200, True)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def add_user(machine, name):
    machine.call(
        *as_service("pantau user add", name, "--role admin --password-stdin --settings /etc/pantau/server.toml"),
        input="made-up-word-1\n",
    )


def users(machine):
    return machine.call(*as_service("pantau user list --settings /etc/pantau/server.toml")).stdout


def as_service(*words):
    return ["setpriv", "--reuid=pantau", "--regid=pantau", "--clear-groups", *shlex.split(" ".join(words))]


def test_the_deb_brings_user_folders_and_first_settings_and_the_centre_runs_as_its_unit_says(installed, tmp_path):
    assert "pantau: installed. Next:\n  pantau user add NAME --role admin" in installed.told
    assert installed.mode("/etc/pantau") == ("root", "root", "755")
    assert installed.mode("/etc/pantau/secrets") == ("root", "pantau", "750")
    assert installed.mode("/etc/pantau/server.toml") == ("root", "pantau", "640")
    for folder in DATA:
        assert installed.mode(folder) == ("pantau", "pantau", "700")
    checked = installed.call("pantau", "config", "check", "/etc/pantau/server.toml", "/etc/pantau/services.toml").stdout
    assert checked.count(": good ") == 2
    add_user(installed, "kepala")
    assert users(installed).split() == ["kepala", "admin"]
    before = set(installed.file("/opt/pantau").rglob("*"))
    assert any(file.match("server/cli/__pycache__/main.*.pyc") for file in before)
    runs(installed, tmp_path / "log")
    assert set(installed.file("/opt/pantau").rglob("*")) == before
    assert installed.call("dpkg", "--verify", "pantau").stdout == ""


def test_every_library_is_there_and_loads(installed):
    script = "import aiohttp, duckdb, psycopg, psycopg_binary, pysnmp, gufo.snmp; print(psycopg.pq.__impl__)"
    assert installed.call("/opt/pantau/bin/python3", "-I", "-c", script).stdout == "binary\n"


def test_systemd_takes_the_units_of_an_installed_root(installed):
    analyze = require("systemd-analyze", "systemd")
    folder = installed.file("/usr/lib/systemd/system")
    there = folder.glob("pantau-*")
    ours = [
        file for pattern in ("pantau-server.*", "pantau-backup.*") for file in (ROOT / "configs/systemd").glob(pattern)
    ]
    units = sorted(file.name for file in there)
    assert units == sorted(file.name for file in ours)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):  # the root has no systemd of its own
        shutil.copy(target, folder)
    names = [name for name in units if not name.endswith(".d")]
    command = [analyze, "verify", "--man=no", f"--root={installed.folder}", *names]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_purging_the_agents_package_leaves_the_centre_alone(installed):
    shutil.copy(ROOT / "configs/package/postrm", installed.file("/srv/postrm"))
    installed.call("sh", "/srv/postrm", "purge")
    assert installed.has("/etc/pantau/server.toml")
    assert installed.mode("/var/lib/pantau") == ("pantau", "pantau", "700")
    assert installed.call("pantau", "--version").stdout.startswith("pantau ")


def test_a_bundle_refuses_to_touch_what_a_package_installed(installed, packages):
    script = unpack(installed, packages[1])
    for words in ((), ("--remove",), ("--purge",)):
        refused = installed.call("sh", script, *words, check=False)
        assert (refused.returncode, "dpkg --remove pantau" in refused.stderr) == (1, True)
    assert installed.call("pantau", "--version").stdout.startswith("pantau ")


def test_an_upgrade_and_the_way_back_keep_settings_users_and_data(machine, packages, tmp_path):
    install(machine, packages[0])
    settings = machine.file("/etc/pantau/server.toml")
    settings.write_text(settings.read_text().replace('title = "Pantau"', 'title = "Kota Uji"'))
    add_user(machine, "kepala")
    told = install(machine, other(packages[0], tmp_path, "7.0.0"))
    assert "Next:" not in told.stdout
    assert machine.call("pantau", "--version").stdout == "pantau 7.0.0\n"
    runs(machine, tmp_path / "newer")
    install(machine, packages[0])
    assert machine.call("pantau", "--version").stdout == f"pantau {version_of(packages[0])}\n"
    assert 'title = "Kota Uji"' in settings.read_text()
    assert users(machine).split() == ["kepala", "admin"]
    runs(machine, tmp_path / "older")


def test_an_upgrade_that_cannot_run_fails_for_dpkg_and_touches_no_data(machine, packages, tmp_path):
    def fails(deb, why):
        failed = install(machine, deb, check=False)
        assert (failed.returncode, why in failed.stderr) == (1, True), failed.stderr
        assert f"or go back: dpkg -i pantau_{version_of(packages[0])}_" in failed.stderr
        status = machine.call("dpkg-query", "--show", "--showformat", "${db:Status-Status}", "pantau").stdout
        assert status == "half-configured"
        assert machine.file("/var/lib/pantau/state.db").read_bytes() == state

    install(machine, packages[0])
    add_user(machine, "kepala")
    state = machine.file("/var/lib/pantau/state.db").read_bytes()
    fails(other(packages[0], tmp_path, "7.0.1", spoil="raise ImportError('spoilt')\n"), "ImportError: spoilt")
    settings = machine.file("/etc/pantau/server.toml")
    good = settings.read_text()
    settings.write_text(good + "\n[no_such_table]\n")
    fails(packages[0], "no_such_table")
    settings.write_text(good)
    machine.call("dpkg", "--configure", "pantau")
    assert users(machine).split() == ["kepala", "admin"]


def test_removed_it_leaves_settings_and_purged_only_data_which_it_says_how_to_delete(machine, packages):
    install(machine, packages[0])
    machine.call("dpkg", "--purge", "pantau")
    for name in ("/etc/pantau", "/opt/pantau", *DATA):
        assert not machine.has(name), name
    assert machine.call("id", "pantau", check=False).returncode == 1
    install(machine, packages[0])
    machine.file("/etc/pantau/secrets/token").write_text("made-up\n")
    machine.file("/etc/pantau/agent.toml").write_text("# of the agent's package\n")
    add_user(machine, "kepala")
    machine.call("dpkg", "--remove", "pantau")
    assert machine.has("/etc/pantau/server.toml")
    for name in ("/opt/pantau", "/usr/bin/pantau", "/usr/lib/systemd/system/pantau-server.service"):
        assert not machine.has(name), name
    told = machine.call("dpkg", "--purge", "pantau").stdout
    assert sorted(file.name for file in machine.file("/etc/pantau").iterdir()) == ["agent.toml"]
    line = "rm -rf /var/lib/pantau && userdel pantau"
    assert f"kept: /var/lib/pantau and the user pantau. To delete all of it for good: {line}" in told
    assert machine.mode("/var/lib/pantau/state.db")[0] == "pantau"
    machine.call("sh", "-c", line)
    assert machine.call("id", "pantau", check=False).returncode == 1


def test_the_bundle_installs_upgrades_and_goes_and_a_package_refuses_to_touch_it(machine, packages, tmp_path):
    script = unpack(machine, packages[1])
    # as where there is no dpkg
    machine.file("/usr/bin/dpkg-query").rename(machine.file("/usr/bin/dpkg-query.away"))
    assert "pantau: installed. Next:" in machine.call("sh", script).stdout
    add_user(machine, "kepala")
    runs(machine, tmp_path / "log", folder="/etc/systemd/system")
    refused = install(machine, packages[0], check=False)
    assert refused.returncode == 1
    assert "sh /opt/pantau/share/bundle/install.sh --remove" in refused.stderr
    settings = machine.file("/etc/pantau/server.toml")
    good = settings.read_text()
    settings.write_text(good + "\n[no_such_table]\n")
    refused = machine.call("sh", script, check=False)
    assert (refused.returncode, "nothing was changed" in refused.stderr) == (1, True)
    settings.write_text(good)
    assert "Next:" not in machine.call("sh", script).stdout
    assert users(machine).split() == ["kepala", "admin"]
    machine.call("sh", "/opt/pantau/share/bundle/install.sh", "--remove")
    assert machine.has("/etc/pantau/server.toml")
    left = (
        "/opt/pantau",
        "/opt/.pantau.coming",
        "/opt/.pantau.going",
        "/usr/local/bin/pantau",
        "/etc/tmpfiles.d/pantau.conf",
    )
    for name in (*left, "/etc/systemd/system/pantau-server.service"):
        assert not machine.has(name), name
    assert "rm -rf /var/lib/pantau && userdel pantau" in machine.call("sh", script, "--purge").stdout
    assert not machine.has("/etc/pantau")


def test_a_bundle_with_a_damaged_or_a_foreign_wheel_is_not_laid(packages, tmp_path):
    run("tar", "--extract", "--file", packages[1], "--directory", tmp_path)
    (bundle,) = tmp_path.glob("pantau-*")
    wheel = next(bundle.glob("wheels/pantau-*.whl"))

    def lay():
        command = [sys.executable, "-I", bundle / "lay.py", "--root", tmp_path / "root"]
        return subprocess.run(command, capture_output=True, text=True)

    with wheel.open("ab") as file:
        file.write(b"\0")
    damaged = lay()
    assert (damaged.returncode, f"{wheel.name} is damaged" in damaged.stderr) == (1, True)
    wheel.rename(bundle / "wheels/other-1-py3-none-any.whl")
    assert "not complete or not ours: other-1-py3-none-any.whl, pantau-" in lay().stderr
    (bundle / "python").write_text("3.9\n")
    assert "the bundle is for Python 3.9" in lay().stderr
    assert not (tmp_path / "root").exists()


def test_an_install_script_that_is_asked_for_help_says_what_it_does(packages, tmp_path):
    run("tar", "--extract", "--file", packages[1], "--directory", tmp_path)
    ended = subprocess.run(["sh", next(tmp_path.glob("*/install.sh")), "--help"], capture_output=True, text=True)
    assert (ended.returncode, "--purge" in ended.stdout, "--files" in ended.stdout) == (2, True, False)
