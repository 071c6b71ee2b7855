"""``nstat``: what the kernel counts of IP, TCP, UDP and ICMP: retransmissions, refused connections, full queues and so on."""

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``fields``: names or shell patterns of the counters to keep. The kernel has about 400; ``["*"]`` keeps them all."""

    fields: tuple[str, ...] = (
        "IpInReceives",
        "IpIn*Errors",
        "Ip*Discards",
        "IpOutNoRoutes",
        "IpReasmFails",
        "IpFragFails",
        "IcmpInErrors",
        "Icmp*DestUnreachs",
        "TcpActiveOpens",
        "TcpPassiveOpens",
        "TcpAttemptFails",
        "TcpEstabResets",
        "TcpCurrEstab",
        "TcpInSegs",
        "TcpOutSegs",
        "TcpRetransSegs",
        "TcpInErrs",
        "TcpOutRsts",
        "UdpInDatagrams",
        "UdpOutDatagrams",
        "UdpNoPorts",
        "UdpInErrors",
        "UdpRcvbufErrors",
        "UdpSndbufErrors",
        "TcpExtListen*",
        "TcpExtSyncookies*",
        "TcpExtTCPTimeouts",
        "TcpExtTCPSynRetrans",
        "TcpExtTCPBacklogDrop",
        "TcpExtTCPReqQFullDrop",
        "TcpExtTCPMemoryPressures",
        "TcpExtTCPAbortOnMemory",
        "TcpExtTCPAbortOnTimeout",
        "TcpExtPruneCalled",
        "IpExtInOctets",
        "IpExtOutOctets",
        "Ip6InReceives",
        "Ip6OutRequests",
        "Ip6InDiscards",
        "Ip6OutDiscards",
        "Ip6OutNoRoutes",
        "Udp6InDatagrams",
        "Udp6OutDatagrams",
        "Udp6NoPorts",
        "Udp6InErrors",
    )


class Nstat:
    """Reads ``/proc/net/netstat``, ``snmp`` and, where the kernel speaks IPv6, ``snmp6``."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._patterns = options.fields
        self._roots = roots
        self._wanted: dict[str, bool] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return one point a file, tag ``name``; counts are since boot, named as the program nstat names them."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        proc = self._roots.proc
        told = {name: _pairs_of_lines(kernelfile.text(proc, f"net/{name}")) for name in ("netstat", "snmp")}
        told["snmp6"] = _lines(kernelfile.word(proc, "net/snmp6") or "")
        points = []
        for name, counters in told.items():
            fields = {field: count for field, count in counters.items() if self._keeps(field)}
            if fields:
                points.append(Point("nstat", {"name": name}, fields, now))
        return points

    def _keeps(self, field: str) -> bool:
        if field not in self._wanted:
            self._wanted[field] = kernelfile.matches(field, self._patterns)
        return self._wanted[field]


def _pairs_of_lines(table: str) -> dict[str, Value]:
    """Read ``Tcp: A B`` followed by ``Tcp: 1 2`` as TcpA=1, TcpB=2."""
    counters: dict[str, Value] = {}
    for names, numbers in list(pairwise(table.splitlines()))[::2]:
        prefix, _, rest = names.partition(":")
        counters.update(
            {f"{prefix}{name}": int(number) for name, number in zip(rest.split(), numbers.split()[1:], strict=False)}
        )
    return counters


def _lines(table: str) -> dict[str, Value]:
    return {name: int(number) for name, number in (line.split() for line in table.splitlines())}
