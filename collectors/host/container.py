"""``container``: the limits of the container in which the agent runs, and how near they are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_UNLIMITED: Final = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit
_CACHE: Final = ("total_inactive_file", "inactive_file")
_US: Final = 1000


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Group(msgspec.Struct, frozen=True):
    """What a control group tells; memory in bytes, times in ns, ``processors`` as many as it may keep busy, None for no limit."""

    memory: int | None = None
    memory_limit: int | None = None
    swap: int | None = None
    swap_limit: int | None = None
    oom_kills: int | None = None
    spent: int | None = None
    processors: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_time: int | None = None
    pids: int | None = None
    pids_limit: int | None = None


class Container:
    """Reads the control group at the root of ``/sys/fs/cgroup``; on a host that is no container there is nothing to tell."""

    def __init__(self, _options: Options, roots: "Roots") -> None:
        self._root = f"{roots.sys}/fs/cgroup"
        self._before: tuple[int, int] | None = None

    async def collect(self, now: int) -> list[Point]:
        """Return one point inside a container, none elsewhere. FileNotFoundError where the kernel has no control groups."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        root = Path(self._root)
        if not root.is_dir():
            raise kernelfile.lacking(self._root, "this kernel has no control groups")
        # the root of all groups has no events (v2) and alone has a release agent (v1); in a container it is another one
        if (root / "cgroup.controllers").exists():
            group = _unified(self._root) if (root / "cgroup.events").exists() else None
        else:
            alone = not (root / "memory").exists() or (root / "memory/release_agent").exists()
            group = None if alone else _legacy(root)
        fields = dict(self._fields(group, now)) if group else {}
        return [Point("container", {}, fields, now)] if fields else []

    def _fields(self, group: Group, now: int) -> Iterator[tuple[str, Value]]:
        for name in ("memory", "memory_limit", "swap", "swap_limit", "oom_kills", "pids", "pids_limit"):
            if (value := getattr(group, name)) is not None:
                yield name, value
        if group.memory is not None and group.memory_limit:
            yield "memory_percent", 100 * group.memory / group.memory_limit
        if group.spent is not None:
            yield "cpu_time", group.spent
            before, self._before = self._before, (now, group.spent)
            if before and now > before[0] and group.spent >= before[1]:
                busy = (group.spent - before[1]) / (now - before[0])
                yield "cpu_usage", 100 * busy
                if group.processors:
                    yield "cpu_percent", 100 * busy / group.processors
        if group.processors is not None:
            yield "cpu_limit", group.processors
        for name in ("periods", "throttled_periods", "throttled_time"):
            if (value := getattr(group, name)) is not None:
                yield f"cpu_{name}", value


def _unified(root: str) -> Group:
    """Read cgroup v2. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst."""
    quota, _, period = (kernelfile.word(root, "cpu.max") or "max").partition(" ")
    cpu = _counts(root, "cpu.stat")
    return Group(
        memory=_used(kernelfile.number(root, "memory.current"), _counts(root, "memory.stat")),
        memory_limit=_limit(root, "memory.max"),
        swap=kernelfile.number(root, "memory.swap.current"),
        swap_limit=_limit(root, "memory.swap.max"),
        oom_kills=_counts(root, "memory.events").get("oom_kill"),
        spent=_ns(cpu.get("usage_usec")),
        processors=int(quota) / int(period) if quota.isdigit() and period.isdigit() else None,
        periods=cpu.get("nr_periods"),
        throttled_periods=cpu.get("nr_throttled"),
        throttled_time=_ns(cpu.get("throttled_usec")),
        pids=kernelfile.number(root, "pids.current"),
        pids_limit=_limit(root, "pids.max"),
    )


def _legacy(root: Path) -> Group:
    """Read cgroup v1, one hierarchy for each controller. Source: the kernel's Documentation/admin-guide/cgroup-v1."""
    memory, pids = str(root / "memory"), str(root / "pids")
    cpu, account = (_controller(root, name) for name in ("cpu", "cpuacct"))
    quota = kernelfile.number(cpu, "cpu.cfs_quota_us")
    period = kernelfile.number(cpu, "cpu.cfs_period_us")
    told = _counts(cpu, "cpu.stat")
    return Group(
        memory=_used(kernelfile.number(memory, "memory.usage_in_bytes"), _counts(memory, "memory.stat")),
        memory_limit=_limit(memory, "memory.limit_in_bytes"),
        oom_kills=_counts(memory, "memory.oom_control").get("oom_kill"),
        spent=kernelfile.number(account, "cpuacct.usage"),
        processors=quota / period if quota and period and quota > 0 else None,
        periods=told.get("nr_periods"),
        throttled_periods=told.get("nr_throttled"),
        throttled_time=told.get("throttled_time"),
        pids=kernelfile.number(pids, "pids.current"),
        pids_limit=_limit(pids, "pids.max"),
    )


def _controller(root: Path, name: str) -> str:
    """Return the folder of a controller that may share its hierarchy (``cpu,cpuacct``)."""
    return next((str(folder) for folder in root.iterdir() if name in folder.name.split(",")), str(root / name))


def _counts(root: str, name: str) -> dict[str, int]:
    try:
        return kernelfile.counts(root, name)
    except OSError:
        return {}


def _limit(root: str, name: str) -> int | None:
    """Return a limit; None for ``max``, for the number that stands for none, and without the file."""
    limit = kernelfile.number(root, name)
    return limit if limit is not None and limit < _UNLIMITED else None


def _used(usage: int | None, stat: dict[str, int]) -> int | None:
    """Leave out the file cache that the kernel can take back, as Docker and Kubernetes do."""
    if usage is None:
        return None
    cache = next((stat[name] for name in _CACHE if name in stat), 0)
    return max(usage - cache, 0)


def _ns(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds * _US
