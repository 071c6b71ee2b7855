"""``redis`` and ``redis_keyspace``: what Redis, Valkey or KeyDB tell by INFO."""

import asyncio
import errno
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import dial
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value
from configs.secret import Secret

if TYPE_CHECKING:
    from collectors.host import Roots

_SECONDS: Final = 5
_LONGEST: Final = 1 << 20
_INTS: Final = (
    "aof_current_rewrite_time_sec",
    "aof_enabled",
    "aof_last_rewrite_time_sec",
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "blocked_clients",
    "cluster_enabled",
    "connected_slaves",
    "evicted_keys",
    "expired_keys",
    "instantaneous_ops_per_sec",
    "keyspace_hits",
    "keyspace_misses",
    "latest_fork_usec",
    "loading",
    "master_last_io_seconds_ago",
    "master_repl_offset",
    "maxclients",
    "maxmemory",
    "pubsub_channels",
    "pubsub_patterns",
    "rdb_bgsave_in_progress",
    "rdb_changes_since_last_save",
    "rdb_current_bgsave_time_sec",
    "rdb_last_bgsave_time_sec",
    "rdb_last_save_time",
    "rejected_connections",
    "slave_repl_offset",
    "sync_full",
    "sync_partial_err",
    "sync_partial_ok",
    "total_commands_processed",
    "total_connections_received",
    "total_error_replies",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "total_system_memory",
    "used_memory",
    "used_memory_lua",
    "used_memory_peak",
    "used_memory_rss",
)
_FLOATS: Final = (
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "mem_fragmentation_ratio",
    "used_cpu_sys",
    "used_cpu_sys_children",
    "used_cpu_user",
    "used_cpu_user_children",
)
_TEXTS: Final = (
    "aof_last_bgrewrite_status",
    "aof_last_write_status",
    "master_link_status",
    "maxmemory_policy",
    "rdb_last_bgsave_status",
    "redis_version",
)
_RENAMED: Final = {"connected_clients": "clients", "uptime_in_seconds": "uptime"}
_KEYSPACE: Final = ("keys", "expires", "avg_ttl")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``servers``: ``host:port`` or a socket's path. ``username`` (from Redis 6) and ``password`` hold for all of them."""

    servers: tuple[str, ...] = ("127.0.0.1:6379",)
    username: str = ""
    password: Secret | None = None

    def __post_init__(self) -> None:
        """ValueError for an address that is none."""
        dial.check_addresses(self.servers)


class Redis:
    """Asks the servers at the same time."""

    def __init__(self, options: Options, _roots: "Roots") -> None:
        self._options = options
        self._targets = Targets("redis")

    async def collect(self, now: int) -> list[Point]:
        """Return a ``redis`` point a server, and a ``redis_keyspace`` point a database that is not empty.

        OSError when no server answers; PermissionError for a password that is missing or wrong.
        """
        login = await asyncio.to_thread(self._login)

        async def look(server: str) -> list[Point]:
            return _points(server, await _info(server, login), now)

        return await self._targets.ask(self._options.servers, look)

    def _login(self) -> tuple[str, ...]:
        if self._options.password is None:
            return ()
        try:
            password = self._options.password.reveal()
        except ValueError as error:
            raise PermissionError(errno.EACCES, str(error)) from error
        return ("AUTH", self._options.username, password) if self._options.username else ("AUTH", password)


async def _info(server: str, login: tuple[str, ...]) -> str:
    async with dial.connect(server, seconds=_SECONDS) as (reader, writer):
        if login:
            await _call(reader, writer, login, server)
        return await _call(reader, writer, ("INFO",), server)


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: tuple[str, ...], server: str) -> str:
    """Send one command and return its reply, a simple or bulk string. Source: Redis' serialization protocol (RESP2)."""
    parts = [word.encode() for word in words]
    writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    try:
        line = (await reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "replace")
    except asyncio.LimitOverrunError:
        line = ""
    kind, text = line[:1], line[1:]
    if kind == "-":
        denied = text.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH", "ERR invalid password"))
        raise OSError(errno.EACCES if denied else errno.EPROTO, text, server)
    if kind == "$" and text.isdigit() and int(text) <= _LONGEST:
        return (await reader.readexactly(int(text) + 2))[:-2].decode("utf-8", "replace")
    if kind != "+":
        raise dial.protocol_error("the answer is not Redis'", server)
    return text


def _points(server: str, info: str, now: int) -> list[Point]:
    told = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    host, _, port = server.rpartition(":")
    place = {"server": server} if server.startswith("/") else {"server": host, "port": port}
    tags = {**place, "replication_role": told.get("role", "")}
    fields = _fields(told, now)
    if not fields:
        raise dial.protocol_error("INFO tells nothing of a Redis server", server)
    points = [Point("redis", tags, fields, now)]
    for key, text in told.items():
        if key.startswith("db") and key[2:].isdigit():
            counts = dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)
            of_database: dict[str, Value] = {name: int(counts[name]) for name in _KEYSPACE if name in counts}
            points.append(Point("redis_keyspace", {**tags, "database": key}, of_database, now))
    return points


def _fields(told: dict[str, str], now: int) -> dict[str, Value]:
    fields: dict[str, Value] = {name: int(told[name]) for name in _INTS if told.get(name, "").lstrip("-").isdigit()}
    fields |= {field: int(told[name]) for name, field in _RENAMED.items() if told.get(name, "").isdigit()}
    fields |= {name: float(told[name]) for name in _FLOATS if name in told}
    fields |= {name: told[name] for name in _TEXTS if name in told}
    if "keyspace_hits" in fields and "keyspace_misses" in fields:
        hits, misses = int(fields["keyspace_hits"]), int(fields["keyspace_misses"])
        fields["keyspace_hitrate"] = hits / (hits + misses) if hits + misses else 0.0
    if "rdb_last_save_time" in fields:
        fields["rdb_last_save_time_elapsed"] = max(now // 10**9 - int(fields["rdb_last_save_time"]), 0)
    return fields
