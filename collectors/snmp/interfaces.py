"""Interfaces: columns of IF-MIB (RFC 2863) become points of Telegraf's measurement ``interface``. Pure."""

from collections.abc import Mapping
from typing import Final

from collectors.point import Point
from collectors.point import Value as Field
from collectors.snmp.session import Value

MEASUREMENT: Final = "interface"

_INT_MAX: Final = 2**63 - 1
_IF: Final = "1.3.6.1.2.1.2.2.1"
_IFX: Final = "1.3.6.1.2.1.31.1.1.1"

NAMES: Final[Mapping[str, str]] = {
    "ifDescr": f"{_IF}.2",
    "ifName": f"{_IFX}.1",
    "ifPhysAddress": f"{_IF}.6",
}
"""Columns that tell a row from its neighbours."""

NUMBERS: Final[Mapping[str, str]] = {
    "ifOperStatus": f"{_IF}.8",
    "ifAdminStatus": f"{_IF}.7",
    "ifHCInOctets": f"{_IFX}.6",
    "ifHCOutOctets": f"{_IFX}.10",
    "ifHCInUcastPkts": f"{_IFX}.7",
    "ifHCOutUcastPkts": f"{_IFX}.11",
    "ifInErrors": f"{_IF}.14",
    "ifOutErrors": f"{_IF}.20",
    "ifInDiscards": f"{_IF}.13",
    "ifOutDiscards": f"{_IF}.19",
    "ifHighSpeed": f"{_IFX}.15",
    "ifSpeed": f"{_IF}.5",
    "ifType": f"{_IF}.3",
    "ifMtu": f"{_IF}.4",
    "ifLastChange": f"{_IF}.9",
    "ifCounterDiscontinuityTime": f"{_IFX}.19",
}
"""Columns of numbers."""

COLUMNS: Final[Mapping[str, str]] = {**NAMES, **NUMBERS, "ifAlias": f"{_IFX}.18"}
"""All columns, the most wanted first: a slow device may not come to the end of them."""

FALLBACKS: Final[Mapping[str, tuple[str, str]]] = {
    "ifHCInOctets": ("ifInOctets", f"{_IF}.10"),
    "ifHCOutOctets": ("ifOutOctets", f"{_IF}.16"),
    "ifHCInUcastPkts": ("ifInUcastPkts", f"{_IF}.11"),
    "ifHCOutUcastPkts": ("ifOutUcastPkts", f"{_IF}.17"),
}
"""64-bit counter -> the 32-bit one that is asked for where rows lack it."""

Columns = Mapping[str, Mapping[str, Value]]


def points(columns: Columns, tags: Mapping[str, str], time: int) -> list[Point]:
    """Make one point a row, in the order of ifIndex; ``columns`` is name -> index -> value, ``time`` is ns.

    The tags ``ifName`` and ``ifDescr`` name the series; ifIndex, which devices deal out anew when they restart, is a field.
    A row is kept with the columns that it has; of a counter in both widths only the 64-bit one is kept.
    """
    found = []
    for index, name in names(columns).items():
        fields: dict[str, Field] = {"ifIndex": int(index)} if index.isdecimal() else {}
        for column in (*NUMBERS, *(narrow for narrow, _ in FALLBACKS.values())):
            value = columns.get(column, {}).get(index)
            # a 64-bit counter beyond a signed integer would be stored as one that stands still
            if isinstance(value, int) and value <= _INT_MAX:
                fields[column] = value
        for wide, (narrow, _) in FALLBACKS.items():
            if wide in fields:
                fields.pop(narrow, None)
        if alias := text(columns.get("ifAlias", {}).get(index)):
            fields["ifAlias"] = alias
        if mac := _mac(columns.get("ifPhysAddress", {}).get(index)):
            fields["ifPhysAddress"] = mac
        own = {"ifName": name}
        if description := text(columns.get("ifDescr", {}).get(index)):
            own["ifDescr"] = description
        found.append(Point(MEASUREMENT, {**tags, **own}, fields, time))
    return found


def names(columns: Columns) -> dict[str, str]:
    """Give each row, by index, a name of its own: ifName, else ifDescr, else its MAC; a later double gets ``#ifIndex``."""
    indexes = {index for column in columns.values() for index in column}
    named: dict[str, str] = {}
    taken: set[str] = set()
    for index in sorted(indexes, key=lambda index: [int(part) for part in index.split(".")]):
        name = (
            text(columns.get("ifName", {}).get(index))
            or text(columns.get("ifDescr", {}).get(index))
            or _mac(columns.get("ifPhysAddress", {}).get(index))
        )
        while not name or name in taken:
            name = f"{name}#{index}"
        taken.add(name)
        named[index] = name
    return named


def text(value: Value | None) -> str:
    """Read an OCTET STRING for people: UTF-8, else Windows-1252, else hexadecimal; without NUL and control characters."""
    if value is None:
        return ""
    if not isinstance(value, bytes):
        return str(value)
    for encoding in ("utf-8", "cp1252"):
        try:
            decoded = value.decode(encoding)
        except UnicodeDecodeError:
            continue
        return " ".join("".join(letter if letter.isprintable() else " " for letter in decoded).split())
    return value.hex()


def _mac(value: Value | None) -> str:
    return value.hex(":") if isinstance(value, bytes) else ""
