"""What is flapping is set alike for checks, rules and devices, and stays as it is where nobody sets it."""

from server import settings

SERVER = """
[[check]]
id = "portal-http"
service = "portal"
{0}
[[rule]]
id = "silent"
type = "absence"
{0}
[[snmp.device]]
id = "sw-1"
address = "192.0.2.1"
community = {{ env = "COMMUNITY" }}
{0}
"""
REGISTER = '[[agency]]\nid = "a"\nname = "A"\n[[service]]\nid = "portal"\nname = "Portal"\nagency = "a"\nurl = "https://a.example/"\n'


def flaps(folder, line):
    (folder / "services.toml").write_text(REGISTER)
    (folder / "server.toml").write_text(SERVER.format(line))
    watched = settings.read(folder / "server.toml").watched
    return [watched.policy(check).flaps for check in ("portal-http", "rule/silent", "snmp/sw-1")]


def test_it_is_set_alike_for_checks_rules_and_devices(tmp_path):
    assert flaps(tmp_path, "") == [(4, 1800.0)] * 3
    assert flaps(tmp_path, 'flapping = [6, "1h"]') == [(6, 3600.0)] * 3
