"""pysnmp, asked the same of the same snmpd, sees the same: values, types and rows."""

import asyncio
import time

import pytest
from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    UsmUserData,
    bulk_walk_cmd,
    get_cmd,
    usmAesCfb128Protocol,
    usmHMACSHAAuthProtocol,
)

from collectors.snmp import Device
from collectors.snmp.interfaces import COLUMNS, text

pytestmark = pytest.mark.real
V3 = {
    "version": "3",
    "user": "shaaes",
    "auth": "SHA",
    "auth_key": "authpass12",
    "priv": "AES",
    "priv_key": "privpass12",
}
STEADY = ["ifName", "ifType", "ifMtu", "ifOperStatus", "ifAdminStatus", "ifSpeed", "ifHighSpeed", "ifPhysAddress"]


class SecondOpinion:
    """Asks by pysnmp; values come as pysnmp has them."""

    def __init__(self, credentials):
        self.engine = SnmpEngine()
        self.credentials = credentials

    async def column(self, port, oid):
        target = await UdpTransportTarget.create(("127.0.0.1", port))
        asked = (self.engine, self.credentials, target, ContextData(), 0, 10, ObjectType(ObjectIdentity(oid)))
        rows = {}
        async for failed, status, _, varbinds in bulk_walk_cmd(*asked, lookupMib=False, lexicographicMode=False):
            assert (failed, int(status)) == (None, 0)
            rows |= {str(name)[len(oid) + 1 :]: value for name, value in varbinds}
        return rows

    async def scalar(self, port, oid):
        target = await UdpTransportTarget.create(("127.0.0.1", port))
        asked = (self.engine, self.credentials, target, ContextData(), ObjectType(ObjectIdentity(oid)))
        failed, status, _, varbinds = await get_cmd(*asked, lookupMib=False)
        assert (failed, int(status)) == (None, 0)
        return varbinds[0][1]


CREDENTIALS = [
    ({}, lambda: CommunityData("geheim")),
    (
        V3,
        lambda: UsmUserData(
            "shaaes",
            "authpass12",
            "privpass12",
            authProtocol=usmHMACSHAAuthProtocol,
            privProtocol=usmAesCfb128Protocol,
        ),
    ),
]


@pytest.fixture
async def ask():
    opinions = []

    def build(credentials):
        opinions.append(SecondOpinion(credentials))
        return opinions[-1]

    yield build
    for opinion in opinions:
        opinion.engine.close_dispatcher()
    await asyncio.sleep(0.01)


def plain(name, value):
    if name == "ifPhysAddress":
        return bytes(value).hex(":") or None
    return text(bytes(value)) if name == "ifName" else int(value)


@pytest.mark.parametrize(("settings", "credentials"), CREDENTIALS, ids=["v2c", "v3"])
async def test_two_engines_see_the_same(snmpd, options, ask, settings, credentials):
    polled = await Device(options(port=snmpd.port, **settings)).poll(time.time_ns())
    device, *interfaces = polled.points
    other = ask(credentials())
    rows = await other.column(snmpd.port, COLUMNS["ifDescr"])
    assert {str(point.fields["ifIndex"]): point.tags["ifDescr"] for point in interfaces} == {
        index: text(bytes(value)) for index, value in rows.items()
    }
    seen = {str(point.fields["ifIndex"]): {**point.tags, **point.fields} for point in interfaces}
    for name in STEADY:
        rows = await other.column(snmpd.port, COLUMNS[name])
        assert {index: row[name] for index, row in seen.items() if name in row} == {
            index: shown for index, value in rows.items() if (shown := plain(name, value)) is not None
        }
    for name in ("ifHCInOctets", "ifHCOutOctets", "ifHCInUcastPkts"):
        later = await other.column(snmpd.port, COLUMNS[name])
        assert seen.keys() == later.keys()
        assert all(seen[index][name] <= int(value) for index, value in later.items())
    uptime = int(await other.scalar(snmpd.port, "1.3.6.1.2.1.1.3.0")) / 100
    assert 0 <= uptime - device.fields["sysUpTime"] < 100
