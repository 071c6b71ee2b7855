"""``kernel``: context switches, interrupts, forks since boot; on request memory merging (KSM) and pressure (PSI)."""

import asyncio
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from collectors.host import pressure
from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_STAT: Final = {"intr": "interrupts", "ctxt": "context_switches", "processes": "processes_forked", "btime": "boot_time"}
_KSM: Final = (
    "full_scans",
    "general_profit",
    "max_page_sharing",
    "merge_across_nodes",
    "pages_shared",
    "pages_sharing",
    "pages_to_scan",
    "pages_unshared",
    "pages_volatile",
    "run",
    "sleep_millisecs",
    "stable_node_chains",
    "stable_node_chains_prune_millisecs",
    "stable_node_dups",
    "use_zero_pages",
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``collect``: ``"ksm"`` adds kernel same-page merging, ``"psi"`` the measurement ``pressure``."""

    collect: tuple[Literal["ksm", "psi"], ...] = ()


class Kernel:
    """Reads ``/proc/stat``, and on request ``/sys/kernel/mm/ksm`` and ``/proc/pressure``."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._collect = options.collect
        self._roots = roots

    async def collect(self, now: int) -> list[Point]:
        """Return one ``kernel`` point, and with ``psi`` one ``pressure`` point for each resource and type."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        fields: dict[str, Value] = {}
        for line in kernelfile.text(self._roots.proc, "stat").splitlines():
            key, *numbers = line.split(None, 3)
            if key in _STAT:
                fields[_STAT[key]] = int(numbers[0])
            elif key == "page":
                fields["disk_pages_in"], fields["disk_pages_out"] = int(numbers[0]), int(numbers[1])
        _put(fields, "entropy_avail", kernelfile.number(self._roots.proc, "sys/kernel/random/entropy_avail"))
        if "ksm" in self._collect:
            for name in _KSM:
                _put(fields, f"ksm_{name}", kernelfile.number(self._roots.sys, f"kernel/mm/ksm/{name}"))
        points = [Point("kernel", {}, fields, now)]
        if "psi" in self._collect:
            points += pressure.read(self._roots.proc, now)
        return points


def _put(fields: dict[str, Value], name: str, value: int | None) -> None:
    if value is not None:
        fields[name] = value
