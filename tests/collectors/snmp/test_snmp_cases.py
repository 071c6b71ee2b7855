"""Made-up devices (``tests/cases/snmp``), polled over UDP, give the lines beside them."""

from pathlib import Path

import pytest

from collectors.lineprotocol import encode
from collectors.result import Status
from collectors.snmp import Device

NOW = 1_700_000_000_000_000_000
CASES = sorted(Path(__file__).parents[2].glob("cases/snmp/*.snmprec"))


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
async def test_a_device_gives_these_lines(agent, options, case):
    device = await agent(case.read_text(encoding="utf-8"))
    polled = await Device(options(port=device.port)).poll(NOW)
    assert (polled.result.status, polled.result.detail) == (Status.UP, "")
    assert "walk_incomplete" not in polled.result.facts
    lines = encode(polled.points).decode()
    assert lines.splitlines() == case.with_suffix(".lp").read_text(encoding="utf-8").splitlines()
