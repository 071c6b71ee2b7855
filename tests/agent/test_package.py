"""The offline packages, installed without a network into an empty Debian, and the agent run there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from parts import require

from agent.version import VERSION

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.may_block]

SETTINGS = """
[agent]
host = "srv-1"
[output]
url = "{url}"
token = {{ credential = "agent.token" }}
"""


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 200), check=True, **more)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Build both; return the .deb and the tar.gz."""
    require("dpkg-deb", "dpkg")
    top = tmp_path_factory.mktemp("source")
    for name in ("agent", "alerts", "collectors", "configs", "server"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, top)
    try:
        run("sh", top / "configs/package/build.sh", sys.executable, timeout=500)
    except subprocess.CalledProcessError as error:
        if "Retrying (" not in error.stderr:  # pip's word for a network that fails
            raise AssertionError(error.stderr) from error
        pytest.skip(f"the wheels cannot be fetched now, the network fails: {error.stderr[-300:]}")
    return next((top / "dist").glob("*.deb")), next((top / "dist").glob("*.tar.gz"))


def mirror():
    """Return (address, suite) of the first source of packages that apt has on this machine."""
    fields = "$(SITE) $(CODENAME)"
    told = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").stdout.split("\n")
    address, suite = next(line.split() for line in told if line and "-" not in line.split()[1])
    return address, suite


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An empty Debian with Python, kept over runs: fetching it takes a minute."""
    if os.geteuid() != 0:
        pytest.skip("installing into an empty root needs root")
    tool = require("debootstrap", "debootstrap")
    require("unshare", "util-linux")
    require("apt-get", "apt")
    address, suite = mirror()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pantau-tests")
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"root-{suite}.tar"
    if not kept.exists():
        root = tmp_path_factory.mktemp("debootstrap") / "root"
        try:
            run(tool, "--variant=minbase", "--include=python3", suite, root, address, timeout=500)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no empty Debian can be made here and now: {tool}: {(error.stdout or '')[-300:]}")
        fresh = kept.with_suffix(f".{os.getpid()}")
        run(
            "tar",
            "--create",
            "--file",
            fresh,
            "--directory",
            root,
            "--exclude=./var/cache/apt/*",
            "--exclude=./dev/*",
            ".",
        )
        fresh.rename(kept)
        shutil.rmtree(root)
    return kept


class Empty:
    """The root of another machine; ``call`` runs a command in it."""

    def __init__(self, folder, kept):
        self.folder = folder
        folder.mkdir()
        run("tar", "--extract", "--file", kept, "--directory", folder)
        (folder / "dev/null").unlink(missing_ok=True)
        run("mknod", "-m", "666", folder / "dev/null", "c", "1", "3")

    def call(self, *command, network=False, check=True, timeout=200):
        """Run with /proc and /sys of its own name space and, unless ``network``, without any network."""
        spaces = ["--mount", "--pid", "--fork", *([] if network else ["--net"])]
        script = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && exec chroot "$0" "$@"'
        return subprocess.run(
            ["unshare", *spaces, "sh", "-c", script, self.folder, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )

    def agent(self, *words, **more):
        return self.call("pantau-agent", *words, **more)

    def has(self, name):
        return os.path.lexists(self.folder / name.removeprefix("/"))


@pytest.fixture
def machine(tmp_path, empty):
    found = Empty(tmp_path / "root", empty)
    yield found
    shutil.rmtree(found.folder)


def collects_and_sends(machine, centre):
    """Settings, token, then --check, --test, --once and doctor, as somebody would who tries it out."""
    etc = machine.folder / "etc/pantau"
    (etc / "agent.toml").write_text(SETTINGS.format(url=centre.url))
    (etc / "agent.token").write_text("made-up\n")
    (etc / "agent.token").chmod(0o600)
    assert "can be used" in machine.agent("--check").stdout
    tested = machine.agent("--test", check=False)
    assert {"cpu", "mem", "system"} <= {line.partition(",")[0] for line in tested.stdout.splitlines()}, tested.stderr
    once = machine.agent("--once", network=True, check=False)
    assert "lines delivered" in once.stdout, once.stderr
    assert any(line.startswith(b"mem,host=srv-1 ") for line in centre.lines)
    assert centre.requests[0][1]["Authorization"] == "Token made-up"
    told = machine.agent("doctor", network=True, check=False)
    assert "✓ token terbaca" in told.stdout, told.stderr


def test_the_deb_installs_runs_is_upgraded_keeps_settings_and_is_purged(machine, packages, centre):
    deb, _ = packages
    shutil.copy(deb, machine.folder / "agent.deb")
    assert "Next: pantau-agent join URL   (" in machine.call("dpkg", "--install", "/agent.deb").stdout
    assert machine.call("id", "-un", "pantau-agent").stdout == "pantau-agent\n"
    state = (machine.folder / "var/lib/pantau-agent").stat()
    assert (state.st_uid != 0, state.st_mode & 0o777) == (True, 0o750)
    assert machine.has("/usr/lib/systemd/system/pantau-agent.service")
    assert list(machine.folder.glob("opt/pantau-agent/lib/agent/__pycache__/cli.*.pyc"))
    collects_and_sends(machine, centre)
    settings = (machine.folder / "etc/pantau/agent.toml").read_text()
    machine.call("dpkg", "--install", "/agent.deb")
    machine.call("dpkg", "--remove", "pantau-agent")
    assert (machine.folder / "etc/pantau/agent.toml").read_text() == settings
    assert not machine.has("/opt/pantau-agent")
    assert not machine.has("/usr/bin/pantau-agent")
    machine.call("dpkg", "--purge", "pantau-agent")
    for name in ("/etc/pantau", "/var/lib/pantau-agent", "/opt/pantau-agent"):
        assert not machine.has(name), name
    assert machine.call("id", "pantau-agent", check=False).returncode == 1


def other(deb, folder, version, *, spoil=""):
    """Make the package once more as another version; ``spoil`` goes to the start of its command line."""
    tree = folder / version
    run("dpkg-deb", "--raw-extract", deb, tree)
    for name in ("DEBIAN/control", "opt/pantau-agent/lib/agent/version.py"):
        text = (tree / name).read_text()
        (tree / name).write_text(text.replace(version_of(deb), version))
    cli = tree / "opt/pantau-agent/lib/agent/cli.py"
    cli.write_text(spoil + cli.read_text())
    run("dpkg-deb", "--root-owner-group", "--build", tree, folder / f"{version}.deb")
    shutil.rmtree(tree)
    return folder / f"{version}.deb"


def test_an_upgrade_can_be_taken_back_and_one_that_cannot_run_takes_itself_back(machine, packages, centre):
    def install(file):
        shutil.copy(file, machine.folder / "agent.deb")
        return machine.call("dpkg", "--install", "/agent.deb")

    def version():
        return machine.agent("--version").stdout.split()[-1]

    first = version_of(packages[0])
    install(packages[0])
    assert "no former version" in machine.call("/opt/pantau-agent/bin/rollback", check=False).stderr
    install(other(packages[0], machine.folder, "7.0.0"))
    assert version() == "7.0.0"
    assert f"went back to pantau-agent {first}" in machine.call("/opt/pantau-agent/bin/rollback").stdout
    collects_and_sends(machine, centre)
    machine.call("/opt/pantau-agent/bin/rollback")
    assert version() == "7.0.0"
    install(other(packages[0], machine.folder, "7.0.0"))
    done = install(other(packages[0], machine.folder, "7.0.1", spoil="raise ImportError('spoilt')\n"))
    assert "ImportError: spoilt" in done.stderr
    assert version() == "7.0.0"
    done = install(
        other(packages[0], machine.folder, "7.0.2", spoil="import sys; sys.exit('settings are not for me')\n")
    )
    assert "settings are not for me" in done.stderr
    assert version() == "7.0.0"
    assert "can be used" in machine.agent("--check").stdout
    machine.call("dpkg", "--purge", "pantau-agent")
    assert not machine.has("/opt/pantau-agent")


def version_of(deb):
    return run("dpkg-deb", "--field", deb, "Version").stdout.strip()


def test_the_tar_installs_and_runs_where_there_is_no_dpkg(machine, packages, centre):
    _, tar = packages
    run("tar", "--extract", "--file", tar, "--directory", machine.folder / "opt")
    (machine.folder / "usr/bin/dpkg").unlink()
    folder = f"/opt/{tar.name.removesuffix('.tar.gz')}"
    assert "Next: pantau-agent join" in machine.call("sh", f"{folder}/install.sh").stdout
    assert machine.has("/etc/systemd/system/pantau-agent.service")
    collects_and_sends(machine, centre)
    machine.call("sh", f"{folder}/install.sh")
    assert not machine.has("/opt/pantau-agent/former")  # the same version once more is no former one
    known = machine.folder / "opt/pantau-agent/lib/agent/version.py"
    # of another length: Python tells a changed file by its size and its second
    known.write_text(known.read_text().replace(VERSION, "0.0.1-former"))
    machine.call("sh", f"{folder}/install.sh")
    assert machine.agent("--version").stdout == f"pantau-agent {VERSION}\n"
    machine.call("/opt/pantau-agent/bin/rollback")
    assert machine.agent("--version").stdout == "pantau-agent 0.0.1-former\n"
    machine.call("sh", f"{folder}/install.sh", "--remove")
    assert machine.has("/etc/pantau/agent.toml")
    assert not machine.has("/opt/pantau-agent")
    machine.call("sh", f"{folder}/install.sh", "--purge")
    assert not machine.has("/etc/pantau")
    assert not machine.has("/var/lib/pantau-agent")


def test_an_install_script_that_is_asked_for_help_says_what_it_does(packages, tmp_path):
    run("tar", "--extract", "--file", packages[1], "--directory", tmp_path)
    ended = subprocess.run(
        ["sh", next(tmp_path.glob("*/install.sh")), "--help"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "--purge" in ended.stdout) == (2, True)


def test_the_package_brings_compiled_parts_for_each_python_and_nothing_of_the_centre(packages):
    names = run("dpkg-deb", "--contents", packages[0]).stdout
    for tag in ("311", "312", "313", "314"):
        assert f"msgspec/_core.cpython-{tag}-" in names
    for part in ("/server/", "/alerts/", "/collectors/checks/", "/collectors/snmp/", ".pyc"):
        assert part not in names
