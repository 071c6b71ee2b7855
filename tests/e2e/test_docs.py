"""Every command of the pages is typed, in order, into Debians that have nothing else, with systemd as it is there.

The centre is a Debian 12; its agents are a Debian 11 and a Debian 13 in the same network, which has nothing but loopback.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import aiosmtpd
import attr
import debian
import public
import pytest
from machine import Machine
from packages import deb
from pages import put, steps
from parts import require_env, wait_for

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(1800), pytest.mark.may_block]

PASSWORD = "Made-up-pass-phrase-1"
SYSTEMD = ("systemd", "systemd-sysv", "dbus", "ca-certificates", "procps")
CENTRE = (*SYSTEMD, "python3", "nginx-light", "openssl", "curl", "jq", "snmpd")
AGENTS = ("bullseye", "trixie")
SERVICES = ("portal", "simpus", "antrean", "izin", "ppdb", "kinerja", "pbb", "jdih", "ppid", "aduan")
DEVICES = ("sw-1", "sw-2", "sw-3")
INFLUX = "http://127.0.0.1:8086"

# Each block is typed into one shell: what it sets is there in the next.
SHELL = """
cd /root
set -a
[ ! -e /run/typed ] || . /run/typed
trap 'export -p > /run/typed' EXIT
"""

SITES = """
server {{
    listen 443 ssl;
    server_name {names};
    ssl_certificate /srv/outside/outside.pem;
    ssl_certificate_key /srv/outside/outside.key;
    location / {{ return 200 "<title>baik</title>"; }}
}}
server {{
    listen 443 ssl;
    server_name api.telegram.org;
    ssl_certificate /srv/outside/outside.pem;
    ssl_certificate_key /srv/outside/outside.key;
    location / {{ proxy_pass http://127.0.0.1:9001; }}
}}
"""

UNIT = """
[Service]
ExecStart={command}
[Install]
WantedBy=multi-user.target
"""


class Typist:
    """Types the steps of pages on a centre and its agents, and keeps what was seen."""

    def __init__(self, centre, agents):
        self.centre = centre
        self.agents = agents
        self.seen = ""

    def type(self, page):
        for step in steps(page):
            if step.why_not:
                continue
            for machine in self.agents if step.machine == "agent" else [self.centre]:
                if machine is not self.centre:
                    self._carry(machine)
                self._do(machine, step)

    def _do(self, machine, step):
        if step.kind != "sh":
            file = machine.folder / "root" / step.file  # an absolute path stays one of the machine
            file = machine.folder / step.file.lstrip("/") if step.file.startswith("/") else file
            file.write_text(put(step, file.read_text() if file.exists() else ""))
            return
        answers = {"Password: ": PASSWORD, "Once more: ": PASSWORD, "One-time token: ": self._token()}
        code, seen = machine.type(SHELL + step.text, answers)
        self.seen += seen
        assert code == 0, f"{step} on {machine.name} ended with {code}:\n{step.text}\n{seen}\n{machine.journal()}"

    def _carry(self, agent):
        """Bring to a host what somebody brings there by hand."""
        certificate = self.centre.folder / "etc/ssl/pantau/fullchain.pem"
        if certificate.exists():
            shutil.copy(certificate, agent.folder / "root")

    def _token(self):
        """Return the newest one-time token that was shown, as somebody reads it off the screen."""
        return (re.findall(r"\bpantau_join_\w+", self.seen) or [""])[-1]


def authority(folder):
    """Make an authority that the machines trust, and a certificate of it for what is outside of Pantau."""
    names = [*(f"{name}.kota.example" for name in SERVICES), "mail.kota.example", "api.telegram.org"]
    alternatives = ",".join(f"DNS:{name}" for name in names)
    script = f"""
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=outside -keyout outside.key -out outside.csr
    printf 'subjectAltName={alternatives}' > outside.ext
    openssl x509 -req -in outside.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile outside.ext -out outside.pem
    """
    folder.mkdir()
    subprocess.run(["sh", "-euc", script], cwd=folder, check=True, capture_output=True)


def outside(machine, folder):
    """Put what is outside of Pantau into a machine: names, services, switches, mail, Telegram."""
    place = machine.folder / "srv/outside"
    shutil.copytree(folder, place)
    for library in (aiosmtpd, attr, public):
        source = Path(library.__file__).parent
        shutil.copytree(source, place / source.name)
    for name in ("attrs",):
        source = Path(attr.__file__).parents[1] / name
        shutil.copytree(source, place / source.name)
    shutil.copy(Path(__file__).with_name("outside.py"), place)
    sites = SITES.format(names=" ".join(f"{name}.kota.example" for name in SERVICES))
    (machine.folder / "etc/nginx/sites-available/default").write_text(sites)
    command = "/usr/bin/python3 /srv/outside/outside.py /srv/outside /srv/outside/outside.pem /srv/outside/outside.key"
    service(machine, "outside", command)
    (machine.folder / "etc/snmp/snmpd.conf").write_text("agentaddress udp:161\nrocommunity made-up-community\n")


def service(machine, name, command):
    (machine.folder / f"etc/systemd/system/{name}.service").write_text(UNIT.format(command=command))
    machine.run("systemctl", "enable", "--quiet", f"{name}.service", check=False)


def prepare(machine, folder):
    """Do to a machine what its owner has done before Pantau comes: names and a known authority."""
    hosts = [f"127.0.0.1 {name}" for name in ("localhost", "pantau.kota.example", "mail.kota.example")]
    hosts += [f"127.0.2.1 {name}.kota.example" for name in SERVICES]
    hosts += [f"127.0.1.{at} {name}.kota.example" for at, name in enumerate(DEVICES, 11)]
    hosts += ["127.0.2.1 api.telegram.org", f"127.0.1.1 {machine.name}", ""]
    (machine.folder / "etc/hosts").write_text("\n".join(hosts))
    shutil.copy(folder / "ca.crt", machine.folder / "usr/local/share/ca-certificates/outside.crt")
    machine.run("update-ca-certificates")


@pytest.fixture(scope="module")
def typist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    debs = {name: deb(name) for name in ("pantau", "pantau-agent")}
    roots = {"centre": debian.root_of("bookworm", *CENTRE)} | {
        suite: debian.root_of(suite, *SYSTEMD) for suite in AGENTS
    }
    authority(folder / "outside")
    machines = {name: Machine(debian.unpacked(kept, folder / name), name) for name, kept in roots.items()}
    centre = machines["centre"]
    try:
        for machine in machines.values():
            machine.boot(beside=None if machine is centre else centre)
            prepare(machine, folder / "outside")
            kind = "pantau" if machine is centre else "pantau-agent"
            shutil.copy(debs[kind], machine.folder / "root")
        outside(centre, folder / "outside")
        centre.run("systemctl", "daemon-reload")
        centre.run("systemctl", "restart", "nginx", "outside", "snmpd")
        yield Typist(centre, [machines[suite] for suite in AGENTS])
    finally:
        for machine in machines.values():
            machine.halt()
            shutil.rmtree(machine.folder)


def test_the_pages_are_typed_in_order(typist):
    centre = typist.centre
    typist.type("install.md")
    for agent in typist.agents:
        assert agent.name in centre.run("pantau", "host", "list").stdout

    typist.type("first-hour.md")
    taken = [json.loads(line) for line in (centre.folder / "srv/outside/taken").read_text().splitlines()]
    assert {what for what, _ in taken} == {"mail", "telegram"}

    typist.type("operate.md")
    told = centre.run("journalctl", "--no-pager", "--unit=pantau-server", "--priority=err").stdout
    assert "-- No entries --" in told, told

    # what their units are worth where they are installed
    units = ("pantau-server.service", "pantau-backup.service", "pantau-backup.timer")
    verified(centre, *units)
    for agent in typist.agents:
        verified(agent, "pantau-agent.service")


def verified(machine, *units):
    """systemd finds nothing to complain of in our units; others' are not ours to mend."""
    told = machine.run("systemd-analyze", "verify", "--man=no", *units, check=False).stderr
    assert not [line for line in told.splitlines() if "pantau" in line], told


def test_an_influxdb_stands_behind(typist):
    influxd = require_env("PANTAU_TEST_INFLUXD2", "InfluxDB 2")
    centre = typist.centre
    shutil.copy(influxd, centre.folder / "usr/local/bin/influxd")
    service(centre, "influxd", "/usr/local/bin/influxd --http-bind-address 127.0.0.1:8086 --reporting-disabled")
    centre.run("systemctl", "daemon-reload")
    centre.run("systemctl", "restart", "influxd")
    first = {
        "username": "admin",
        "password": PASSWORD,
        "org": "kota",
        "bucket": "first",
        "token": "made-up-admin-token",
    }
    wait_for(lambda: _set_up(centre, first), 60, "InfluxDB")
    (centre.folder / "root/influx-admin-token").write_text("made-up-admin-token\n")
    typist.type("connect.md")


def _set_up(centre, first):
    command = ("curl", "--silent", "--fail", f"{INFLUX}/api/v2/setup", "--json", json.dumps(first))
    return centre.run(*command, check=False).returncode == 0
