"""``pantau config check --secrets``: whether the service's user can read each secret, and what mends it; never the secret."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec
import pytest

from alerts.channels import CHANNELS
from collectors.checks import CHECKS
from collectors.snmp import Options as Device
from configs.plugin import find
from configs.read import Source
from configs.secret import Secret
from server import settings
from server.cli.main import main
from server.ingest.options import Options as Ingest
from server.store import STORES

USER = 64125
SETTINGS = """\
[server]
data = "data"
state = "postgresql://pantau@127.0.0.1/pantau"
state_password = { file = "store" }

[store]
type = "influx"
url = "http://127.0.0.1:8086"
token = { file = "store" }
password = { file = "store" }
user = "pantau"

[ingest]
tokens = [{ name = "a", token = { file = "tokens/ingest" } }]

[[check]]
id = "portal-http"
service = "portal"
basic_user = "a"
basic_password = { file = "basic" }
secret_headers = { X-Key = { env = "PANTAU_TEST_KEY" } }

[[check]]
id = "portal-bearer"
service = "portal"
bearer = { file = "bearer" }

[[channel]]
name = "surel"
type = "email"
host = "mail.kota.example"
from = "pantau@kota.example"
user = "pantau"
password = { credential = "pantau-test-mail" }

[[channel]]
name = "hook"
type = "webhook"
url = "https://hook.kota.example/"
token = { file = "hook" }
sign = { file = "hook" }

[[snmp.device]]
id = "sw-1"
address = "10.0.0.1"
community = { file = "community" }

[[snmp.device]]
id = "sw-2"
address = "10.0.0.2"
version = "3"
user = "pantau"
auth = "SHA256"
auth_key = { file = "auth" }
priv = "AES"
priv_key = { file = "priv" }
"""
REGISTER = '[[agency]]\nid = "a"\nname = "A"\n[[service]]\nid = "portal"\nname = "P"\nagency = "a"\nurl = "https://p.example/"\n'


def secrets_of(kind, name=""):
    """Yield the names of all settings of a type that are secrets, however deep."""
    if getattr(kind, "cls", None) is Secret:
        yield name
    for field in getattr(kind, "fields", ()):
        yield from secrets_of(field.type, field.encode_name)
    inner = [getattr(kind, part) for part in ("item_type", "value_type") if hasattr(kind, part)]
    for each in (*inner, *getattr(kind, "types", ())):
        yield from secrets_of(each, name)


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="pantau-secrets-"))  # pytest's own folders are closed to other users
    made.chmod(0o755)
    (made / "tokens").mkdir(mode=0o755)
    (made / "data").mkdir(mode=0o700)
    (made / "server.toml").write_text(SETTINGS)
    (made / "services.toml").write_text(REGISTER)
    for name in ("store", "tokens/ingest", "basic", "bearer", "hook", "community", "auth", "priv"):
        (made / name).write_text("Sangat-Rahasia\n")
        (made / name).chmod(0o644)
    yield made
    shutil.rmtree(made)


def test_every_setting_that_is_a_secret_is_found(folder):
    plugins = [
        find(kind, name, known)[1] for kind, known in (("a", CHANNELS), ("b", CHECKS), ("c", STORES)) for name in known
    ]
    shapes = [*plugins, settings.General, Ingest, Device]
    wanted = {name for shape in shapes for name in secrets_of(msgspec.inspect.type_info(shape))}
    source = Source.read(folder / "server.toml")
    named = [label for label, _ in settings.read(source.file).secrets]
    missing = [
        name for name in sorted(wanted) if not any(f"'{name}' in" in label or f".{name}]" in label for label in named)
    ]
    assert not missing, f"write each of these into SETTINGS: {missing}"


def check(folder, capsys, *words):
    code = main(["config", "check", str(folder / "server.toml"), "--secrets", *words])
    shown = capsys.readouterr()
    assert "Sangat-Rahasia" not in shown.out + shown.err
    return code, shown.out.splitlines(), shown.err.splitlines()


def test_who_runs_the_centre_itself_is_told_what_is_missing(folder, capsys, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (folder / "basic").unlink()
    (folder / "bearer").write_text("\n")
    code, well, bad = check(folder, capsys)
    me = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    assert code == 1
    assert well[0] == f"{folder}/server.toml: good server settings"
    assert f"server.toml:9: 'token' in [store]: file {folder}/store: readable by {me}" in well
    assert [line.split(": ")[1:3] for line in bad] == [
        ["'basic_password' in [[check]] #1", f"file {folder}/basic"],
        ["'X-Key' in [[check.secret_headers]] #1", "env PANTAU_TEST_KEY"],
        ["'bearer' in [[check]] #2", f"file {folder}/bearer"],
        ["'password' in [[channel]] #1", "credential pantau-test-mail"],
    ]
    assert bad[0].endswith(f"; install -D -m 600 -o {me} /dev/null {folder}/basic, then write it there")
    assert bad[1].endswith("[Service] EnvironmentFile=/etc/pantau/environment")
    assert bad[2].endswith(f"the secret in <Secret file {folder}/bearer> is empty; write it to {folder}/bearer")
    assert bad[3].endswith("[Service] LoadCredential=pantau-test-mail:/etc/pantau/pantau-test-mail")


def test_all_that_can_be_read_is_well(folder, capsys, monkeypatch):
    monkeypatch.setenv("PANTAU_TEST_KEY", "Sangat-Rahasia")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    (folder / "pantau-test-mail").write_text("Sangat-Rahasia")
    code, well, bad = check(folder, capsys)
    assert (code, len(well), bad) == (0, 14, [])


def test_an_unknown_user_is_told(folder, capsys):
    code = main(["config", "check", str(folder / "server.toml"), "--secrets", "--user", "siapa"])
    assert (code, capsys.readouterr().err) == (2, "pantau: there is no user 'siapa'\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can see what another user can read")
def test_root_sees_with_the_eyes_of_the_owner_of_data(folder, capsys, monkeypatch):
    monkeypatch.setenv("PANTAU_TEST_KEY", "Sangat-Rahasia")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    (folder / "pantau-test-mail").write_text("Sangat-Rahasia")
    (folder / "pantau-test-mail").chmod(0o600)  # systemd reads it as root
    os.chown(folder / "data", USER, USER)
    (folder / "store").chmod(0o600)
    (folder / "tokens").chmod(0o700)
    os.chown(folder / "auth", USER, USER)
    (folder / "auth").chmod(0)
    code, _, bad = check(folder, capsys)
    mends = [line.rpartition("; ")[2] for line in bad]
    assert code == 1
    assert all(f"not readable by user {USER}: cannot read the secret file" in line for line in bad)
    for mend in mends:
        subprocess.run(mend, shell=True, check=True)
    assert check(folder, capsys)[0] == 0
    assert sorted(set(mends)) == [
        f"chgrp {USER} {folder}/tokens && chmod g+x {folder}/tokens",
        f"chmod u+r {folder}/auth",
        f"chown {USER} {folder}/store && chmod 600 {folder}/store",
    ]
