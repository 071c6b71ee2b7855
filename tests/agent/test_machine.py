"""The fingerprint by which the centre tells a clone from the original."""

import pytest

from agent.machine import fingerprint
from collectors.host import Roots


@pytest.fixture
def machine(tmp_path):
    """Make a machine: its id, and its interfaces as name -> (address, assignment, has a device)."""

    def make(name, cards, place="etc/machine-id"):
        for folder in ("etc", "var/lib/dbus"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"{name}\n")
        for card, (address, assigned, real) in cards.items():
            folder = tmp_path / "sys/class/net" / card
            (folder / "device" if real else folder).mkdir(parents=True)
            (folder / "address").write_text(f"{address}\n")
            (folder / "addr_assign_type").write_text(f"{assigned}\n")
        return fingerprint(Roots(etc=str(tmp_path / "etc"), var=str(tmp_path / "var"), sys=str(tmp_path / "sys")))

    return make


def test_it_is_the_machine_and_its_real_cards_and_tells_neither(machine):
    told = machine(
        "0123456789abcdef",
        {
            "eth0": ("52:54:00:aa:bb:01", 0, True),
            "eth1": ("52:54:00:aa:bb:02", 0, True),
            "docker0": ("02:42:00:00:00:01", 3, False),
            "tap0": ("52:54:00:aa:bb:03", 3, True),
            "lo": ("00:00:00:00:00:00", 0, False),
            "odd0": ("00:00:00:00:00:00", 0, True),
        },
    )
    words = told.split()
    assert len(words) == 3
    assert {len(word) for word in words} == {12}
    assert words[1:] == sorted(words[1:])
    assert "0123456789ab" not in told
    assert "525400" not in told


def test_a_machine_without_cards_or_systemd_has_one_too(machine):
    assert len(machine("abc", {}, place="var/lib/dbus/machine-id")) == 12


def test_more_cards_than_the_centre_takes_are_left_out(machine):
    cards = {f"eth{n}": (f"52:54:00:00:00:{n:02x}", 0, True) for n in range(1, 30)}
    assert len(machine("abc", cards).split()) == 17
