"""What agents of 200 hosts send, 100 fields each: 20,000 series of a field, as requests of line protocol."""

import gzip
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

HOSTS: Final = 200
EVERY: Final = 180  # seconds
STEPS: Final = 48  # of one part: 2.4 hours, so that 100 parts are 10 days
START: Final = 1_700_006_400  # 00:00 UTC
_LINES: Final = 4000
_PATHS: Final = {"vda1": "/", "vdb1": "/var/lib"}
# measurement and tags -> field -> how it behaves
SCHEMA: Final[dict[str, dict[str, str]]] = {
    **{
        f"cpu,cpu=cpu{number}": {
            **dict.fromkeys(("usage_user", "usage_system", "usage_idle"), "share"),
            **dict.fromkeys(("usage_nice", "usage_irq", "usage_steal", "usage_guest", "usage_guest_nice"), "zero"),
            **dict.fromkeys(("usage_iowait", "usage_softirq"), "rare"),
        }
        for number in ("-total", 0, 1, 2, 3)
    },
    "mem": {
        **dict.fromkeys(("active", "available", "buffered", "cached", "free", "used"), "pages"),
        "total": "constant",
        **dict.fromkeys(("available_percent", "used_percent"), "share"),
    },
    **{
        f"disk,device={device},fstype=ext4,mode=rw,path={path}": {
            **dict.fromkeys(("total", "inodes_total"), "constant"),
            **dict.fromkeys(("free", "used", "inodes_free", "inodes_used"), "slow"),
            "used_percent": "slowshare",
        }
        for device, path in _PATHS.items()
    },
    **{
        f"diskio,name={name}": dict.fromkeys(
            ("reads", "writes", "read_bytes", "write_bytes", "read_time", "write_time", "io_time"), "counter"
        )
        for name in ("vda", "vdb")
    },
    "net,interface=eth0": {
        **dict.fromkeys(("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"), "counter"),
        **dict.fromkeys(("err_in", "err_out", "drop_in", "drop_out"), "none"),
    },
    "processes": {"total": "few"},
    "system": {**dict.fromkeys(("load1", "load5", "load15"), "load"), "uptime": "uptime"},
}
FIELDS: Final = sum(map(len, SCHEMA.values())) * HOSTS  # of one step


class Column:
    """The values of one field of one host; it goes on where it stopped."""

    def __init__(self, kind: str, random: np.random.Generator) -> None:
        self._kind = kind
        self._random = random
        self._level = 0.0
        self._count = int(random.integers(0, 2**40)) if kind == "counter" else 0
        self._pace = int(random.integers(20, 50_000)) * EVERY // 10

    def texts(self) -> list[str]:
        """Return the next values as they are written."""
        if self._kind in _PLAIN:
            return [_PLAIN[self._kind]] * STEPS
        if self._kind in _WHOLE:
            return [f"{value}i" for value in self._whole().tolist()]
        return [repr(value) for value in self._real().tolist()]

    def _walk(self) -> NDArray[np.float64]:
        walk = self._level + self._random.normal(0, 1, STEPS).cumsum()
        # comes back towards 0: a machine is about as busy as ever
        walk -= np.linspace(0, walk[-1] * 0.2, STEPS)
        self._level = float(walk[-1])
        return walk

    def _counted(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = self._count + steps.cumsum()
        self._count = int(counts[-1])
        return counts

    def _whole(self) -> NDArray[np.int64]:
        match self._kind:
            case "pages":
                return ((2**20 + 300 * self._walk()).astype(np.int64) * 4096).clip(0)
            case "slow":
                return 2**35 + self._counted((self._random.random(STEPS) < 0.1).astype(np.int64)) * 4096
            case "counter":
                return self._counted(self._random.poisson(self._pace, STEPS))
            case "few":
                return self._random.integers(180, 220, STEPS)
            case _:
                return 5000 + self._counted(np.full(STEPS, EVERY))

    def _real(self) -> NDArray[np.float64]:
        # shares of the ticks of 10 s, as the kernel counts them
        ticks = self._random.integers(990, 1010, STEPS)
        match self._kind:
            case "share":
                return np.clip(np.rint(ticks * 0.3 + 2 * self._walk()), 0, ticks) / ticks * 100
            case "rare":
                return np.where(self._random.random(STEPS) < 0.2, 100 / ticks, 0.0)
            case "slowshare":
                return 40 + self._counted((self._random.random(STEPS) < 0.1).astype(np.int64)) * 4096 / 2**35
            case _:
                return np.abs(1 + 0.02 * self._walk()).round(2)


_PLAIN: Final = {"zero": "0.0", "none": "0i", "constant": f"{16 * 2**30}i"}
_WHOLE: Final = frozenset({"pages", "slow", "counter", "few", "uptime"})


def bodies(parts: int) -> Iterator[bytes]:
    """Yield the requests, gzip, 4,000 lines each, of so many parts."""
    random = np.random.default_rng(1)
    rows: list[tuple[str, list[tuple[str, Column]]]] = []
    for host in range(HOSTS):
        for head, fields in SCHEMA.items():
            name, comma, tags = head.partition(",")
            columns = [(f"{field}=", Column(kind, random)) for field, kind in fields.items()]
            rows.append((f"{name},host=host{host:03}{comma}{tags} ", columns))
    lines: list[str] = []
    for part in range(parts):
        blocks = [(prefix, [[name + text for text in one.texts()] for name, one in row]) for prefix, row in rows]
        written = [[prefix + ",".join(values) for values in zip(*block, strict=True)] for prefix, block in blocks]
        for step in range(STEPS):
            stamp = f" {(START + (part * STEPS + step) * EVERY) * 10**9}"
            lines += [row[step] + stamp for row in written]
            while len(lines) >= _LINES:
                yield gzip.compress("\n".join(lines[:_LINES]).encode(), 1)
                lines = lines[_LINES:]
    if lines:
        yield gzip.compress("\n".join(lines).encode(), 1)
