"""``net``: bytes, packets, errors and drops of each network interface since it came up."""

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

# the column of /proc/net/dev, counted after the interface's name
_COLUMNS: Final = {
    "bytes_recv": 0,
    "packets_recv": 1,
    "err_in": 2,
    "drop_in": 3,
    "bytes_sent": 8,
    "packets_sent": 9,
    "err_out": 10,
    "drop_out": 11,
}
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
UNKNOWN_SPEED: Final = -1
_UNKNOWN_SPEED_UNSIGNED: Final = 2**32 - 1


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``interfaces``: names or shell patterns, taken whatever their state; without it all that are up, but loopback and ``ignore``.

    ``ignore`` keeps out what containers and virtual machines make and throw away.
    """

    interfaces: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ("veth*", "docker*", "br-*", "cali*", "cni*", "flannel*", "virbr*", "vnet*")


class Net:
    """Reads ``/proc/net/dev``, and state and speed from ``/sys/class/net``."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one point an interface; ``speed`` is Mbit/s, -1 when the driver does not know."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        points = []
        for line in kernelfile.text(self._roots.proc, "net/dev").splitlines():
            name, colon, rest = line.rpartition(":")
            name = name.strip()
            numbers = rest.split()
            if not colon or not self._wanted(name):
                continue
            fields: dict[str, Value] = {field: int(numbers[column]) for field, column in _COLUMNS.items()}
            fields["speed"] = self._speed(name)
            points.append(Point("net", {"interface": name}, fields, now))
        return points

    def _wanted(self, name: str) -> bool:
        if self._options.interfaces:
            return kernelfile.matches(name, self._options.interfaces)
        if kernelfile.matches(name, self._options.ignore):
            return False
        flags = kernelfile.word(self._roots.sys, f"class/net/{name}/flags")
        if flags is None:
            return name != "lo"
        return int(flags, 16) & (_UP | _LOOPBACK) == _UP

    def _speed(self, name: str) -> int:
        speed = kernelfile.number(self._roots.sys, f"class/net/{name}/speed")
        return UNKNOWN_SPEED if speed is None or speed == _UNKNOWN_SPEED_UNSIGNED else speed
