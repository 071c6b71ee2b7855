"""Routes know what is watched by all of its names, and no other."""

import pytest

from configs.read import SettingsError
from server import settings

SERVER = """
[[rule]]
id = "disk-full"
family = "disk"
measurement = "disk"
field = "used_percent"
above = 90

[[snmp.device]]
id = "sw-1"
address = "192.0.2.1"
community = { env = "COMMUNITY" }

[[channel]]
name = "hook"
type = "webhook"
url = "https://hook.kota.example/"

[[contact]]
id = "piket"
channels = [{ channel = "hook" }]

[[route]]
contacts = ["piket"]
checks = ["NAME"]
"""
REGISTER = """
[[agency]]
id = "kominfo"
name = "Dinas Kominfo"

[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
url = "https://portal.kota.example/"

[[service]]
id = "arsip"
name = "Arsip"
agency = "kominfo"
"""
OWN = ("pantau/store", "pantau/state", "pantau/clones", "pantau/schedule", "pantau/backup")


def read(folder, name):
    (folder / "services.toml").write_text(REGISTER)
    (folder / "server.toml").write_text(SERVER.replace("NAME", name))
    return settings.read(folder / "server.toml")


@pytest.mark.parametrize("name", ["portal-http", "rule/disk-full", "family/disk", "snmp/sw-1", *OWN])
def test_what_is_watched_may_be_named(name, tmp_path):
    assert read(tmp_path, name).routes[0].checks == (name,)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("disk-full", "rule/disk-full"),
        ("sw-1", "snmp/sw-1"),
        ("rule/disk_full", "rule/disk-full"),
        ("family/disks", "family/disk"),
        ("pantau/clone", "pantau/clones"),
        ("arsip-http", ""),  # a service without an address has no check by itself
        ("rule/*", ""),
    ],
)
def test_what_nothing_is_called_is_refused(name, meant, tmp_path):
    hint = f"; did you mean {meant!r}?" if meant else ""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, name)
    assert str(caught.value) == f"server.toml:25: unknown name {name!r} in 'checks' of [[route]] #1{hint}"
