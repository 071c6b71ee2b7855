"""All that is wrong with settings is told at once, each once, by file and line, and nothing that only follows from it."""

import pytest

from configs.read import SettingsError
from server import settings
from server.cli.config import check_file
from server.cli.main import main

SERVER = """\
[server]
listen = "8420"
titel = "Pantau"
zone = "Asia/Jakarat"
retention = 30

[server.connections]
total = "many"

[store]
type = "embedded"
memry = "1GB"

[ingest]
lines = "many"
tokens = [{ name = "a", token = "inline" }]

[[bucket]]
name = "lain"
retention = "0s"

[[bucket]]
retention = "1d"

[[check]]
id = "portal-http"
service = "portal"
intervall = "30s"
confirm = 0
body_abset = "x"

[[check]]
id = "portal-http"
service = "portall"

[[check]]
id = "rusak-http"
service = "rusak"

[[check]]
id = "Tanpa Layanan"

[[rule]]
id = "penuh"
field = "used_percent"
measurement = "disk"
above = 90
interval = "0s"
abov = 1

[[channel]]
name = "surel"
type = "email"
hots = "mail.kota.example"

[[channel]]
name = "hook"
type = "webhok"

[[contact]]
id = "piket"
channels = [{ channel = "surel", to = "a@kota.example" }, { channel = "sms", to = "1" }]

[[contact]]
id = "rusak"

[[route]]
contacts = ["piket", "rusak", "siapa"]
services = ["portal", "rusak", "hilang"]
checks = ["portal-http", "rusak-http", "rule/penuh", "snmp/sw-1", "penuh", "snmp/sv-1"]

[[route]]
kontak = ["piket"]

[[snmp.device]]
id = "sw-1"

[[snmp.device]]
id = "sw-2"
address = "10.0.0.2"
version = "4"
community = { file = "community" }

[snmp.devices]
"""

TOLD = """\
server.toml:2: 'listen' in [server]: expected ADDRESS:PORT, got '8420'
server.toml:3: unknown field 'titel' in [server]; did you mean 'title'?
server.toml:4: 'zone' in [server]: unknown time zone 'Asia/Jakarat'; expected one such as 'Asia/Jakarta'
server.toml:5: 'retention' in [server]: expected a duration such as "10s", "5m" or "1h30m", got 30
server.toml:8: 'total' in [server.connections]: expected a whole number, got a string
server.toml:12: unknown field 'memry' in [store]; did you mean 'memory'?
server.toml:15: 'lines' in [ingest]: expected a whole number, got a string
server.toml:16: 'token' in [[ingest.tokens]] #1: expected where the secret is kept: { file = "PATH" }, \
{ credential = "NAME" } (systemd) or { env = "NAME" }; a secret is not written in the settings themselves
server.toml:20: 'retention' of 0 would forget everything
server.toml:22: 'name' is missing in [[bucket]] #2
server.toml:28: unknown field 'intervall' in [[check]] #1; did you mean 'interval'?
server.toml:29: 'confirm' of check 'portal-http': expected 1 or more
server.toml:30: unknown field 'body_abset' in [[check]] #1; did you mean 'body_absent'?
server.toml:33: check id 'portal-http' is used twice
server.toml:34: unknown service 'portall'; known: portal, rusak
server.toml:40: 'service' is missing in [[check]] #4
server.toml:41: 'id' in [[check]] #4: expected a text like ^[a-z0-9][a-z0-9._-]*$
server.toml:48: [[rule]] #1: rule 'penuh': interval must be longer than nothing
server.toml:49: unknown field 'abov' in [[rule]] #1; did you mean 'above'?
server.toml:51: 'host' is missing in [[channel]] #1
server.toml:51: 'from' is missing in [[channel]] #1
server.toml:54: unknown field 'hots' in [[channel]] #1; did you mean 'host'?
server.toml:58: unknown channel 'webhok'; known: email, telegram, webhook, or a class as 'package.module:Class'
server.toml:62: contact 'piket' uses unknown channel 'sms'; known: surel, hook
server.toml:64: 'channels' is missing in [[contact]] #2
server.toml:68: unknown name 'siapa' in 'contacts' of [[route]] #1
server.toml:69: unknown name 'hilang' in 'services' of [[route]] #1
server.toml:70: unknown name 'penuh' in 'checks' of [[route]] #1; did you mean 'rule/penuh'?
server.toml:70: unknown name 'snmp/sv-1' in 'checks' of [[route]] #1; did you mean 'snmp/sw-1'?
server.toml:72: 'contacts' is missing in [[route]] #2
server.toml:73: unknown field 'kontak' in [[route]] #2
server.toml:75: 'address' is missing in [[snmp.device]] #1
server.toml:81: 'version' in [[snmp.device]] #2: expected one of '2c', '3', got '4'
services.toml:3: 'name' is missing in [[agency]] #1
services.toml:9: unknown agency 'dinas'; known: kominfo
services.toml:13: 'name' is missing in [[service]] #2
services.toml:14: unknown field 'nama' in [[service]] #2; did you mean 'name'?
services.toml:19: unknown agency 'dinas'; known: kominfo
services.toml:22: 'mon' in [hours.kantor]: expected hours such as "07:30-12:00,13:00-16:00", got '8-16'
"""

REGISTER = """\
# the register

[[agency]]
id = "kominfo"

[[service]]
id = "portal"
name = "Portal"
agency = "dinas"
hours = "kantor"
url = "https://portal.kota.example/"

[[service]]
nama = "Rusak"
id = "rusak"
agency = "kominfo"

[[host]]
agency = "dinas"
id = "srv-1"
[hours.kantor]
mon = "8-16"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "server.toml").write_text(SERVER.replace("\n[snmp.devices]\n", ""))
    (tmp_path / "services.toml").write_text(REGISTER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(file):
    with pytest.raises(SettingsError) as caught:
        settings.read(file)
    return str(caught.value).splitlines()


def test_everything_is_told_once_by_file_and_line(folder):
    assert told("server.toml") == TOLD.splitlines()


def test_the_command_says_it_all_and_the_rest_of_the_files_too(folder, capsys):
    (folder / "agent.toml").write_text(
        '[output]\nurl = "nowhere"\n[agent]\nintervall = "10s"\n'
        '[collectors.cpu]\nper_core = "yes"\nx = 1\n[collectors.cpus]\n'
    )
    (folder / "other.toml").write_text('[server]\ntitle = "Lain"\nregister = "none.toml"\n')
    assert main(["config", "check", "server.toml", "other.toml", "agent.toml", "services.toml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    register = [line for line in TOLD.splitlines() if line.startswith("services.toml")]
    agent = [line.split(": ")[0] for line in lines if line.startswith("agent.toml")]
    assert lines[: len(TOLD.splitlines())] == TOLD.splitlines()
    assert lines[-len(register) :] == register
    assert "none.toml: No such file or directory" in lines
    assert agent == ["agent.toml:2", "agent.toml:4", "agent.toml:6", "agent.toml:7", "agent.toml:8"]


def test_a_running_centre_says_all_of_it_too(folder, capsys):
    assert main(["server", "--settings", "server.toml"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"pantau: {line}" for line in TOLD.splitlines()]


@pytest.mark.parametrize("register", ["missing.toml", "broken.toml"])
def test_without_a_register_nobody_is_blamed_for_naming_what_may_be_in_it(tmp_path, register):
    (tmp_path / "broken.toml").write_text("[[agency\n")
    (tmp_path / "server.toml").write_text(
        f'[server]\nregister = "{register}"\n[[check]]\nid = "a"\nservice = "portal"\nconfirm = 0\n'
        '[[channel]]\nname = "hook"\ntype = "webhook"\nurl = "https://hook.kota.example/"\n'
        '[[contact]]\nid = "piket"\nchannels = [{ channel = "hook" }]\n'
        '[[route]]\ncontacts = ["piket"]\nservices = ["portal"]\nagencies = ["kominfo"]\nchecks = ["portal-http"]\n'
    )
    lines = told(tmp_path / "server.toml")
    assert len(lines) == 2
    assert sum(register in line for line in lines) == 1
    assert "server.toml:6: 'confirm' of check 'a': expected 1 or more" in lines


def test_a_bad_name_of_the_register_is_told_alone(tmp_path):
    (tmp_path / "server.toml").write_text('[server]\nregister = 5\n[[check]]\nid = "a"\nservice = "portal"\n')
    assert told(tmp_path / "server.toml") == [
        "server.toml:2: 'register' in [server]: expected a string, got a whole number"
    ]


def test_a_bucket_is_not_blamed_for_a_store_that_is_bad(tmp_path):
    (tmp_path / "services.toml").touch()
    (tmp_path / "server.toml").write_text('[store]\ntype = "infux"\n[[bucket]]\nname = "a"\n[[bucket]]\nname = "b"\n')
    (line,) = told(tmp_path / "server.toml")
    assert line.startswith("server.toml:2: unknown store 'infux'; known: ")


def test_a_whole_that_is_bad_for_want_of_a_bad_key_is_not_told_twice(tmp_path):
    (tmp_path / "server.toml").write_text('[[snmp.device]]\nid = "a"\naddress = "10.0.0.1"\ncommunity = "public"\n')
    (tmp_path / "services.toml").touch()
    (line,) = told(tmp_path / "server.toml")
    assert line.startswith("server.toml:4: 'community' in [[snmp.device]] #1: expected where the secret is kept")


def test_one_fault_is_an_error_of_one_line(tmp_path):
    (tmp_path / "services.toml").write_text('[[agency]]\nid = "a"\n')
    with pytest.raises(SettingsError) as caught:
        check_file(tmp_path / "services.toml")
    assert [str(fault) for fault in caught.value.faults] == ["services.toml:1: 'name' is missing in [[agency]] #1"]
