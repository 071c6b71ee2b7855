"""What the Engine API of Docker and Podman answers, and the points that Telegraf makes of it."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from collectors.point import Point, Value

_TOTAL = "total"
_NEVER = "0001-"
_UNLIMITED = 1 << 60  # Podman tells 2^64 - 1 where there is no limit and no record, control groups a number near 2^63


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    """``GET /info``."""

    name: str
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    version: str = msgspec.field(default="", name="ServerVersion")
    cpus: int = msgspec.field(default=0, name="NCPU")
    memory: int = msgspec.field(default=0, name="MemTotal")
    files: int = msgspec.field(default=0, name="NFd")
    goroutines: int = msgspec.field(default=0, name="NGoroutines")
    listeners: int = msgspec.field(default=0, name="NEventsListener")


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """One of ``GET /containers/json``; ``created`` is seconds since the epoch."""

    id: str
    image: str
    state: str
    created: int
    names: list[str] | None = None

    @property
    def name(self) -> str:
        """Its own name, without those by which others are linked to it."""
        own = [name for name in self.names or () if name.count("/") == 1]
        return own[0][1:] if own else self.id[:12]

    def tags(self) -> dict[str, str]:
        """Telegraf's tags of a container."""
        image, _, version = self.image.partition("@")[0].rpartition(":")
        if not image or "/" in version:
            image, version = self.image.partition("@")[0], "unknown"
        return {
            "container_name": self.name,
            "container_image": image,
            "container_version": version,
            "container_status": self.state,
        }


class CpuUsage(msgspec.Struct, frozen=True):
    """Nanoseconds of processor time."""

    total_usage: int = 0
    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class Throttling(msgspec.Struct, frozen=True):
    """How often the limit of processor time held the container back."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class Cpu(msgspec.Struct, frozen=True):
    """Use of the processors."""

    cpu_usage: CpuUsage = CpuUsage()
    throttling_data: Throttling = Throttling()
    system_cpu_usage: int = 0


class Memory(msgspec.Struct, frozen=True):
    """Use of memory, bytes; ``stats`` are the control group's."""

    usage: int = 0
    max_usage: int = 0
    limit: int = 0
    failcnt: int = 0
    stats: dict[str, int] | None = None


class Network(msgspec.Struct, frozen=True):
    """What passed one interface."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class Block(msgspec.Struct, frozen=True):
    """One kind of traffic with one disk."""

    op: str
    value: int


class BlockIo(msgspec.Struct, frozen=True):
    """Traffic with disks."""

    io_service_bytes_recursive: list[Block] | None = None
    io_serviced_recursive: list[Block] | None = None


class Stats(msgspec.Struct, frozen=True):
    """``GET /containers/ID/stats``."""

    read: str
    cpu_stats: Cpu = Cpu()
    memory_stats: Memory = Memory()
    blkio_stats: BlockIo = BlockIo()
    networks: dict[str, Network] | None = None


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """What the container's health check found."""

    status: str = ""
    failing_streak: int = 0


class State(msgspec.Struct, frozen=True):
    """How a container does; times as RFC 3339."""

    pid: int = msgspec.field(default=0, name="Pid")
    exit_code: int = msgspec.field(default=0, name="ExitCode")
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    started_at: str = msgspec.field(default="", name="StartedAt")
    finished_at: str = msgspec.field(default="", name="FinishedAt")
    health: Health | None = msgspec.field(default=None, name="Health")


class Detail(msgspec.Struct, frozen=True, rename="pascal"):
    """``GET /containers/ID/json``."""

    state: State
    restart_count: int = 0


class Reading:
    """Figures of one container, with the earlier ones that a rate needs."""

    def __init__(self, container: Container, stats: Stats, before: "Reading | None") -> None:
        self.container = container
        self.stats = stats
        self.at = _nanoseconds(stats.read)
        self.cpu_percent: float | None = None
        if before and self.at > before.at:
            spent = stats.cpu_stats.cpu_usage.total_usage - before.stats.cpu_stats.cpu_usage.total_usage
            self.cpu_percent = 100 * spent / (self.at - before.at) if spent >= 0 else None

    @property
    def memory(self) -> int:
        """Bytes in use, without file cache that the kernel can take back, as Docker's own command shows it."""
        memory = self.stats.memory_stats
        told = memory.stats or {}
        cache = told.get("total_inactive_file", told.get("inactive_file", 0))
        return memory.usage - cache if cache < memory.usage else memory.usage


def of_engine(info: Info, tags: Mapping[str, str], now: int) -> Iterator[Point]:
    """Yield the points about the engine itself."""
    fields: dict[str, Value] = {
        "n_containers": info.containers,
        "n_containers_running": info.containers_running,
        "n_containers_paused": info.containers_paused,
        "n_containers_stopped": info.containers_stopped,
        "n_images": info.images,
        "n_cpus": info.cpus,
        "n_used_file_descriptors": info.files,
        "n_goroutines": info.goroutines,
        "n_listener_events": info.listeners,
    }
    yield Point("docker", tags, fields, now)
    yield Point("docker", {**tags, "unit": "bytes"}, {"memory_total": info.memory}, now)


def of_container(reading: Reading, engine: Mapping[str, str], now: int, *, host_memory: int) -> Iterator[Point]:
    """Yield a running container's points: processor, memory, network and disks in all.

    The limit of a container without one is ``host_memory``, as Docker has it (bytes; 0 for unknown: then it has none).
    """
    tags = {**engine, **reading.container.tags()}
    identity: dict[str, Value] = {"container_id": reading.container.id}
    cpu, throttling = reading.stats.cpu_stats, reading.stats.cpu_stats.throttling_data
    fields: dict[str, Value] = {
        **identity,
        "usage_total": cpu.cpu_usage.total_usage,
        "usage_in_kernelmode": cpu.cpu_usage.usage_in_kernelmode,
        "usage_in_usermode": cpu.cpu_usage.usage_in_usermode,
        "usage_system": cpu.system_cpu_usage,
        "throttling_periods": throttling.periods,
        "throttling_throttled_periods": throttling.throttled_periods,
        "throttling_throttled_time": throttling.throttled_time,
    }
    if reading.cpu_percent is not None:
        fields["usage_percent"] = reading.cpu_percent
    yield Point("docker_container_cpu", {**tags, "cpu": "cpu-total"}, fields, now)
    memory = reading.stats.memory_stats
    fields = {**identity, "usage": reading.memory, "fail_count": memory.failcnt}
    if 0 < memory.max_usage < _UNLIMITED:
        fields["max_usage"] = memory.max_usage
    if limit := memory.limit if memory.limit < _UNLIMITED else host_memory:
        fields["limit"] = limit
        fields["usage_percent"] = 100 * reading.memory / limit
    yield Point("docker_container_mem", tags, fields, now)
    if networks := reading.stats.networks:
        sums = {name: sum(getattr(one, name) for one in networks.values()) for name in Network.__struct_fields__}
        yield Point("docker_container_net", {**tags, "network": _TOTAL}, {**identity, **sums}, now)
    blocks = dict(_blocks(reading.stats.blkio_stats))
    if blocks:
        yield Point("docker_container_blkio", {**tags, "device": _TOTAL}, {**identity, **blocks}, now)


def of_others(readings: list[Reading], tags: Mapping[str, str], now: int) -> Iterator[Point]:
    """Yield what the containers without series of their own use together."""
    known = [reading.cpu_percent for reading in readings if reading.cpu_percent is not None]
    if known:
        yield Point("docker_container_cpu", {**tags, "cpu": "cpu-total"}, {"usage_percent": sum(known)}, now)
    fields: dict[str, Value] = {"usage": sum(reading.memory for reading in readings), "containers": len(readings)}
    yield Point("docker_container_mem", tags, fields, now)


def of_detail(container: Container, detail: Detail, engine: Mapping[str, str], now: int) -> Iterator[Point]:
    """Yield how a container does, running or not, and its health where it has a check."""
    tags = {**engine, **container.tags()}
    state = detail.state
    fields: dict[str, Value] = {
        "container_id": container.id,
        "oomkilled": state.oom_killed,
        "pid": state.pid,
        "exitcode": state.exit_code,
        "restart_count": detail.restart_count,
    }
    for name, text in (("started_at", state.started_at), ("finished_at", state.finished_at)):
        if text and not text.startswith(_NEVER):
            fields[name] = _nanoseconds(text)
    if "started_at" in fields:
        end = now if container.state == "running" else int(fields.get("finished_at", now))
        fields["uptime_ns"] = max(end - int(fields["started_at"]), 0)
    yield Point("docker_container_status", tags, fields, now)
    if state.health and state.health.status not in {"", "none"}:
        health: dict[str, Value] = {
            "health_status": state.health.status,
            "failing_streak": state.health.failing_streak,
        }
        yield Point("docker_container_health", tags, health, now)


def _blocks(told: BlockIo) -> Iterator[tuple[str, Value]]:
    for name in BlockIo.__struct_fields__:
        blocks = getattr(told, name)
        for operation in ("read", "write"):
            if blocks:
                yield f"{name}_{operation}", sum(one.value for one in blocks if one.op.lower() == operation)


def _nanoseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 10**6) * 1000
