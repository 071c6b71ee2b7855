"""The offline packages, installed without a network into empty Debians that have no Python, and the agent run there."""

import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from other_machine import SUITES, Root, run
from packages import built
from parts import require

from agent.version import VERSION

ROOT = Path(__file__).parents[2]
HOME = "/opt/pantau-agent"
pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.may_block]

SETTINGS = """
[agent]
host = "srv-1"
[output]
url = "{url}"
token = {{ credential = "agent.token" }}
"""


class Packages:
    """What ``make agent-package`` made."""

    def __init__(self, folder):
        self.deb, self.rpm, self.tar = (
            next(folder.glob(pattern))
            for pattern in ("pantau-agent_*.deb", "pantau-agent-*.rpm", "pantau-agent-*.tar.gz")
        )


@pytest.fixture(scope="module")
def packages():
    """All three, of this source tree."""
    return Packages(built())


@pytest.fixture
def machine(tmp_path, request):
    """An empty Debian: 12, or the one that the test is parametrized with."""
    found = Root(tmp_path / "root", getattr(request, "param", "bookworm"))
    yield found
    found.remove()


def install(machine, deb, **more):
    machine.bring(deb, "/agent.deb")
    return machine.call("dpkg", "--install", "/agent.deb", **more)


def unpack(machine, tar):
    """Unpack the tar.gz; return the place of its install.sh."""
    run("tar", "--extract", "--file", tar, "--directory", machine.folder / "opt")
    return f"/opt/{tar.name.removesuffix('.tar.gz')}/install.sh"


def rpm(machine, file, *words, **more):
    machine.bring(file, "/agent.rpm")
    # a Debian's rpm knows of no other package, so what this one needs is not looked for
    return machine.call("rpm", *words, "--nodeps", "/agent.rpm", **more)


def version(machine):
    return machine.call("pantau-agent", "--version").stdout.split()[-1]


def settle(machine, url):
    etc = machine.folder / "etc/pantau"
    (etc / "agent.toml").write_text(SETTINGS.format(url=url))
    (etc / "agent.token").write_text("made-up\n")
    (etc / "agent.token").chmod(0o600)


def collects_and_sends(machine, centre):
    """Settings, token, then --check, --test, --once and doctor, as somebody would who tries it out."""
    settle(machine, centre.url)
    assert "can be used" in machine.call("pantau-agent", "--check").stdout
    tested = machine.call("pantau-agent", "--test", check=False)
    assert {"cpu", "mem", "system"} <= {line.partition(",")[0] for line in tested.stdout.splitlines()}, tested.stderr
    once = machine.call("pantau-agent", "--once", network=True, check=False)
    assert "lines delivered" in once.stdout, once.stderr
    assert any(line.startswith(b"mem,host=srv-1 ") for line in centre.lines)
    assert centre.requests[0][1]["Authorization"] == "Token made-up"
    told = machine.call("pantau-agent", "doctor", network=True, check=False)
    assert "✓ token terbaca" in told.stdout, told.stderr


@pytest.mark.parametrize("machine", SUITES, indirect=True)
def test_the_deb_installs_runs_is_upgraded_keeps_settings_and_is_purged(machine, packages, centre):
    assert machine.call("sh", "-c", "command -v python3", check=False).returncode == 127
    assert "Next: pantau-agent join URL   (" in install(machine, packages.deb).stdout
    assert machine.call("id", "-un", "pantau-agent").stdout == "pantau-agent\n"
    state = (machine.folder / "var/lib/pantau-agent").stat()
    assert (state.st_uid != 0, state.st_mode & 0o777) == (True, 0o750)
    assert machine.has("/usr/lib/systemd/system/pantau-agent.service")
    collects_and_sends(machine, centre)
    # what was compiled is used: nothing is compiled once more, also as root
    assert machine.call("find", HOME, "-newer", "/etc/pantau/agent.token").stdout == ""
    settings = (machine.folder / "etc/pantau/agent.toml").read_text()
    install(machine, packages.deb)
    assert not machine.has(f"{HOME}/former")  # the same version once more is no former one
    machine.call("dpkg", "--remove", "pantau-agent")
    assert (machine.folder / "etc/pantau/agent.toml").read_text() == settings
    assert not machine.has(HOME)
    assert not machine.has("/usr/bin/pantau-agent")
    machine.call("dpkg", "--purge", "pantau-agent")
    for name in ("/etc/pantau", "/var/lib/pantau-agent", HOME):
        assert not machine.has(name), name
    assert machine.call("id", "pantau-agent", check=False).returncode == 1


def other(deb, folder, number, *, spoil="", change=lambda tree: None):
    """Make the package once more as another version; ``spoil`` goes to the start of its command line."""
    tree = folder / number
    run("dpkg-deb", "--raw-extract", deb, tree)
    for name in ("DEBIAN/control", "opt/pantau-agent/lib/agent/version.py"):
        text = (tree / name).read_text()
        (tree / name).write_text(text.replace(VERSION, number))
    cli = tree / "opt/pantau-agent/lib/agent/cli.py"
    cli.write_text(spoil + cli.read_text())
    change(tree)
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, folder / f"{number}.deb")
    shutil.rmtree(tree)
    return folder / f"{number}.deb"


def test_an_upgrade_can_be_taken_back_and_one_that_cannot_run_fails_and_takes_itself_back(machine, packages, centre):
    def status():
        return machine.call("dpkg-query", "--show", "--showformat", "${Version} ${Status}", "pantau-agent").stdout

    install(machine, packages.deb)
    assert "no former version" in machine.call(f"{HOME}/bin/rollback", check=False).stderr
    install(machine, other(packages.deb, machine.folder, "7.0.0"))
    assert version(machine) == "7.0.0"
    assert f"went back to pantau-agent {VERSION}" in machine.call(f"{HOME}/bin/rollback").stdout
    collects_and_sends(machine, centre)
    machine.call(f"{HOME}/bin/rollback")
    assert version(machine) == "7.0.0"
    spoilt = "import os, sys; os.path.exists('/spoilt') and sys.exit('settings are not for me')\n"
    (machine.folder / "spoilt").touch()
    done = install(machine, other(packages.deb, machine.folder, "7.0.1", spoil=spoilt), check=False)
    assert "this version cannot run here: settings are not for me" in done.stderr
    assert (done.returncode, version(machine), status()) == (1, "7.0.0", "7.0.1 install ok half-configured")
    assert "can be used" in machine.call("pantau-agent", "--check").stdout
    # asked again it is tried again: it fails as long as the reason is there, and works when it is gone
    done = machine.call("dpkg", "--configure", "pantau-agent", check=False)
    assert (done.returncode, version(machine)) == (1, "7.0.0")
    (machine.folder / "spoilt").unlink()
    machine.call("dpkg", "--configure", "pantau-agent")
    assert (version(machine), status()) == ("7.0.1", "7.0.1 install ok installed")
    assert "went back to pantau-agent 7.0.0" in machine.call(f"{HOME}/bin/rollback").stdout
    machine.call(f"{HOME}/bin/rollback")
    # after one that failed, a good one is installed as ever
    spoilt = "raise ImportError('spoilt')\n"
    done = install(machine, other(packages.deb, machine.folder, "7.0.2", spoil=spoilt), check=False)
    assert ("ImportError: spoilt" in done.stderr, done.returncode, version(machine)) == (True, 1, "7.0.1")
    install(machine, other(packages.deb, machine.folder, "7.0.3"))
    assert (version(machine), status()) == ("7.0.3", "7.0.3 install ok installed")
    assert "went back to pantau-agent 7.0.1" in machine.call(f"{HOME}/bin/rollback").stdout
    machine.call("dpkg", "--purge", "pantau-agent")
    assert not machine.has(HOME)


def test_a_version_that_used_the_system_s_python_is_upgraded_and_gone_back_to(machine, packages, centre):
    def without_interpreter(tree):
        """Make the package as it was before: the interpreter is the system's."""
        shutil.move(tree / "opt/pantau-agent/lib/python", machine.folder / "usr/lib/system-python")
        launcher = tree / "opt/pantau-agent/bin/pantau-agent"
        launcher.write_text(
            launcher.read_text().replace(f"#!{HOME}/lib/python/bin/python3 -IS", "#!/usr/bin/python3 -I")
        )

    old = other(packages.deb, machine.folder, "0.0.9", change=without_interpreter)
    (machine.folder / "usr/bin/python3").symlink_to("/usr/lib/system-python/bin/python3")
    install(machine, old)
    assert version(machine) == "0.0.9"
    install(machine, packages.deb)
    assert version(machine) == VERSION
    assert "went back to pantau-agent 0.0.9" in machine.call(f"{HOME}/bin/rollback").stdout
    assert machine.call("readlink", f"{HOME}/lib/python/bin/python3").stdout == "/usr/bin/python3\n"
    machine.call(f"{HOME}/bin/rollback")
    machine.call("rm", "-r", "/usr/bin/python3", "/usr/lib/system-python")
    collects_and_sends(machine, centre)


def test_two_kinds_of_package_on_one_machine_are_refused_with_what_to_do(machine, packages):
    installer = unpack(machine, packages.tar)
    install(machine, packages.deb)
    for done in (machine.call("sh", installer, check=False), rpm(machine, packages.rpm, "--install", check=False)):
        assert done.returncode != 0
        assert "It is from the .deb: dpkg --remove pantau-agent" in done.stderr
    machine.call("dpkg", "--remove", "pantau-agent")
    machine.call("sh", installer)
    for done in (install(machine, packages.deb, check=False), rpm(machine, packages.rpm, "--install", check=False)):
        assert done.returncode != 0
        assert f"It is from the tar.gz: sh {HOME}/installer/install.sh --remove" in done.stderr
    assert version(machine) == VERSION
    machine.call("sh", f"{HOME}/installer/install.sh", "--remove")
    rpm(machine, packages.rpm, "--install")
    for done in (install(machine, packages.deb, check=False), machine.call("sh", installer, check=False)):
        assert done.returncode != 0
        assert "It is from the .rpm: rpm --erase pantau-agent" in done.stderr
    machine.call("rpm", "--erase", "pantau-agent")
    install(machine, packages.deb)


def test_the_tar_installs_and_runs_where_there_is_no_dpkg(machine, packages, centre):
    installer = unpack(machine, packages.tar)
    (machine.folder / "usr/bin/dpkg").unlink()
    (machine.folder / "usr/bin/dpkg-query").unlink()
    assert "Next: pantau-agent join" in machine.call("sh", installer).stdout
    assert machine.has("/etc/systemd/system/pantau-agent.service")
    collects_and_sends(machine, centre)
    machine.call("sh", installer)
    assert not machine.has(f"{HOME}/former")  # the same version once more is no former one
    known = machine.folder / "opt/pantau-agent/lib/agent/version.py"
    # of another length: Python tells a changed file by its size and its second
    known.write_text(known.read_text().replace(VERSION, "0.0.1-former"))
    machine.call("sh", installer)
    assert version(machine) == VERSION
    machine.call(f"{HOME}/bin/rollback")
    assert version(machine) == "0.0.1-former"
    machine.call("sh", installer, "--remove")
    assert machine.has("/etc/pantau/agent.toml")
    assert not machine.has(HOME)
    machine.call("sh", installer)
    machine.call("sh", f"{HOME}/installer/install.sh", "--purge")
    for name in ("/etc/pantau", "/var/lib/pantau-agent", HOME, "/etc/systemd/system/pantau-agent.service"):
        assert not machine.has(name), name


def test_the_rpm_installs_runs_is_upgraded_taken_back_and_erased(machine, packages, centre, tmp_path):
    assert "Next: pantau-agent join URL" in rpm(machine, packages.rpm, "--install").stdout
    collects_and_sends(machine, centre)
    rpm(machine, packages.rpm, "--upgrade", "--replacepkgs")
    assert not machine.has(f"{HOME}/former")
    newer = other_rpm(packages.deb, tmp_path / "good", "7.0.0")
    rpm(machine, newer, "--upgrade")
    assert version(machine) == "7.0.0"
    assert f"went back to pantau-agent {VERSION}" in machine.call(f"{HOME}/bin/rollback").stdout
    machine.call(f"{HOME}/bin/rollback")
    spoilt = other_rpm(packages.deb, tmp_path / "bad", "7.0.1", spoil="import sys; sys.exit('not for me')\n")
    done = rpm(machine, spoilt, "--upgrade", check=False)
    assert "this version cannot run here: not for me" in done.stderr
    assert "scriptlet failed" in done.stderr
    assert version(machine) == "7.0.0"
    collects_and_sends(machine, centre)
    machine.call("rpm", "--erase", "pantau-agent")
    assert machine.has("/etc/pantau/agent.toml")
    assert not machine.has(HOME)
    assert not machine.has("/usr/bin/pantau-agent")


def other_rpm(deb, folder, number, *, spoil=""):
    """Make the .rpm once more as another version, by the same spec, of the files of the .deb, which are the same."""
    files, scripts = folder / "files", folder / "scripts"
    files.mkdir(parents=True)
    scripts.mkdir()
    run("dpkg-deb", "--extract", deb, files)
    for name, text in (("version.py", VERSION), ("cli.py", "")):
        file = files / "opt/pantau-agent/lib/agent" / name
        file.write_text((spoil if name == "cli.py" else "") + file.read_text().replace(text or "\0", number))
    for script in ("preinst", "postinst", "prerm", "postrm"):
        (scripts / script).write_text((ROOT / "configs/package" / script).read_text().replace("kind=deb", "kind=rpm"))
    spec = folder / "agent.spec"
    spec.write_text(run("sh", ROOT / "configs/package/spec.sh", number, files, scripts).stdout)
    places = ["--define", f"_topdir {folder}/top", "--define", "pantau_payload w1.gzdio"]
    run("rpmbuild", "--quiet", "-bb", *places, spec)
    return next((folder / "top/RPMS").glob("*/*.rpm"))


@pytest.mark.parametrize("bundle", ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"])
def test_its_own_tls_trusts_whom_the_machine_trusts(machine, packages, centre, certificate, bundle):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    centre._server.socket = context.wrap_socket(centre._server.socket, server_side=True)
    install(machine, packages.deb)
    settle(machine, f"https://localhost:{centre.port}")
    refused = machine.call("pantau-agent", "--once", network=True, check=False)
    assert "certificate verify failed" in refused.stdout + refused.stderr
    (machine.folder / bundle[1:]).parent.mkdir(parents=True, exist_ok=True)
    machine.bring(cert, bundle)
    once = machine.call("pantau-agent", "--once", network=True, check=False)
    assert "lines delivered" in once.stdout, once.stderr


def test_an_install_script_that_is_asked_for_help_says_what_it_does(packages, tmp_path):
    run("tar", "--extract", "--file", packages.tar, "--directory", tmp_path)
    ended = subprocess.run(["sh", next(tmp_path.glob("*/install.sh")), "--help"], capture_output=True, text=True)
    assert (ended.returncode, "--purge" in ended.stdout) == (2, True)


def test_the_packages_bring_an_interpreter_that_asks_glibc_of_2_17_only_and_nothing_of_the_centre(packages, tmp_path):
    objdump = require("objdump", "binutils")
    listed = run("rpm", "--query", "--list", "--package", packages.rpm).stdout
    run("dpkg-deb", "--extract", packages.deb, tmp_path)
    names = [f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*")]
    for name in (
        f"{HOME}/lib/python/bin/python3",
        f"{HOME}/lib/msgspec/_core.cpython-313-{sys.implementation._multiarch}.so",
    ):
        assert name in names
        assert name in listed.splitlines()
    for part in ("/lib/server/", "/lib/alerts/", "/checks/", "/snmp/", "/configs/package/", "/configs/centre/"):
        assert not [name for name in [*names, *listed.splitlines()] if f"{part}" in name]
    programs = [f"{HOME}/lib/python/bin/python3", *(name for name in names if name.endswith(".so"))]
    symbols = run(objdump, "--dynamic-syms", *(tmp_path / name[1:] for name in programs)).stdout
    wanted = {
        tuple(map(int, part.split(")")[0].split("."))) for part in symbols.split("GLIBC_")[1:] if part[0].isdigit()
    }
    assert (2, 2, 5) in wanted
    assert max(wanted) <= (2, 17)
    needed = run(objdump, "--private-headers", *(tmp_path / name[1:] for name in programs)).stdout
    libraries = {line.split()[1].split(".so")[0] for line in needed.splitlines() if "NEEDED" in line}
    assert libraries <= {"libc", "libm", "libpthread", "libdl", "libutil", "librt", "ld-linux-x86-64"}
