"""``mysql`` and ``mysql_variables``: what MariaDB or MySQL tell of themselves, asked by their own client program."""

import asyncio
import errno
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import dial, program
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.mysql")

_SECONDS: Final = 8
_CLIENTS: Final = ("mariadb", "mysql")
_STATUS: Final = (
    "aborted_clients",
    "aborted_connects",
    "bytes_received",
    "bytes_sent",
    "com_commit",
    "com_delete",
    "com_insert",
    "com_replace",
    "com_rollback",
    "com_select",
    "com_update",
    "connection_errors_max_connections",
    "connections",
    "created_tmp_disk_tables",
    "created_tmp_files",
    "created_tmp_tables",
    "handler_read_rnd_next",
    "innodb_buffer_pool_bytes_data",
    "innodb_buffer_pool_bytes_dirty",
    "innodb_buffer_pool_pages_free",
    "innodb_buffer_pool_pages_total",
    "innodb_buffer_pool_read_requests",
    "innodb_buffer_pool_reads",
    "innodb_buffer_pool_wait_free",
    "innodb_data_fsyncs",
    "innodb_data_read",
    "innodb_data_written",
    "innodb_deadlocks",
    "innodb_history_list_length",
    "innodb_log_waits",
    "innodb_row_lock_current_waits",
    "innodb_row_lock_time",
    "innodb_row_lock_waits",
    "max_used_connections",
    "open_files",
    "open_tables",
    "opened_tables",
    "queries",
    "questions",
    "select_full_join",
    "select_scan",
    "slow_queries",
    "sort_merge_passes",
    "table_locks_immediate",
    "table_locks_waited",
    "threads_cached",
    "threads_connected",
    "threads_created",
    "threads_running",
    "uptime",
    "wsrep_cluster_size",
    "wsrep_connected",
    "wsrep_ready",
)
_VARIABLES: Final = (
    "innodb_buffer_pool_size",
    "max_connections",
    "open_files_limit",
    "read_only",
    "table_open_cache",
    "version",
)
# column of SHOW SLAVE STATUS, or of SHOW REPLICA STATUS -> field
_REPLICA: Final = {
    "Slave_IO_Running": "slave_slave_io_running",
    "Replica_IO_Running": "slave_slave_io_running",
    "Slave_SQL_Running": "slave_slave_sql_running",
    "Replica_SQL_Running": "slave_slave_sql_running",
    "Seconds_Behind_Master": "slave_seconds_behind_master",
    "Seconds_Behind_Source": "slave_seconds_behind_master",
    "Last_IO_Errno": "slave_last_io_errno",
    "Last_SQL_Errno": "slave_last_sql_errno",
    # MariaDB's name of a connection, MySQL's of a channel
    "Connection_name": "channel",
    "Channel_Name": "channel",
}
_REPLICA_FIELDS: Final = tuple(dict.fromkeys(name for name in _REPLICA.values() if name != "channel"))
# states: 1 for these words, 0 for every other, so that one which is new (or "Preparing") is not taken for sound
_STATES: Final = frozenset({"slave_slave_io_running", "slave_slave_sql_running", "wsrep_connected", "wsrep_ready"})
_SOUND: Final = frozenset({"on", "yes", "1"})
# a switch: 0 for these words, 1 for every other (read_only may be "NO_LOCK")
_SWITCHES: Final = frozenset({"read_only"})
_OFF: Final = frozenset({"off", "no", "0"})
_PAIR: Final = re.compile(r" *(\w+)(?:\t|: ?)(.*)")
_ROW: Final = re.compile(r"\*+ \d+\. row \*+")
_DENIED: Final = re.compile(r"ERROR (?:1044|1045|1698|1227)\b")
# from here on MySQL speaks of replicas; MariaDB understands both
_RENAMED_IN: Final = (8, 0, 22)
# from here on MariaDB may have several connections, each with a name
_NAMED_IN: Final = (10, 0)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``servers``: sockets' paths or ``host:port``; by default /run/mysqld/mysqld.sock.

    By default the agent's own user logs in by the plug-in unix_socket, which needs no password. Otherwise
    ``defaults_file`` is a file of the client's options: ``[client]`` with ``user``, ``password``, ``ssl-ca``.
    """

    servers: tuple[str, ...] = ()
    defaults_file: str = ""

    def __post_init__(self) -> None:
        """ValueError for an address that is none."""
        dial.check_addresses(self.servers)


class Mysql:
    """Calls ``mariadb`` or ``mysql`` for each server."""

    def __init__(self, options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._servers = options.servers or (f"{roots.run}/mysqld/mysqld.sock",)
        self._account = f"--defaults-file={options.defaults_file}" if options.defaults_file else "--no-defaults"
        self._run = run
        self._targets = Targets("mysql")
        self._statements: dict[str, str] = {}
        self._complaints: dict[str, str] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return two points a server; how a replica does comes with the second reading, in a point of its own where it has a name.

        FileNotFoundError without a client or socket, PermissionError for an account that may not, OSError when no server
        answers.
        """

        async def look(server: str) -> list[Point]:
            return await self._look(server, now)

        return await self._targets.ask(self._servers, look)

    async def _look(self, server: str, now: int) -> list[Point]:
        told, *replicas = _read(await self._ask(server))
        if "uptime" not in told:
            raise dial.protocol_error("the client's answer holds no status", server)
        version = told.get("version", "")
        self._statements[server] = _replica_statement(version)
        tags = {"server": server}
        status = _numbers(told, (*_STATUS, *_REPLICA_FIELDS))
        points = [Point("mysql", tags, status, now)]
        for replica in replicas:
            if name := replica.get("channel"):
                points.append(Point("mysql", {**tags, "channel": name}, _numbers(replica, _REPLICA_FIELDS), now))
            else:
                status |= _numbers(replica, _REPLICA_FIELDS)
        variables = {**_numbers(told, _VARIABLES), "version": version}
        return [*points, Point("mysql_variables", tags, variables, now)]

    async def _ask(self, server: str) -> str:
        host, _, port = server.rpartition(":")
        where = (f"--socket={server}",) if server.startswith("/") else (f"--host={host}", f"--port={port}")
        sql = f"{_show('STATUS', _STATUS)};{_show('VARIABLES', _VARIABLES)};{self._statements.get(server, '')}"
        # of several statements, one that is refused does not stop the others
        wanted = (self._account, *where, "--batch", "--raw", "--force", "--connect-timeout=4", "-e", sql)
        for client in _CLIENTS:
            try:
                ended = await self._run((client, *wanted), seconds=_SECONDS)
            except FileNotFoundError:
                if client != _CLIENTS[-1]:
                    continue
                if server.startswith("/") and not await asyncio.to_thread(Path(server).exists):
                    # without a server here, a client would not help
                    raise FileNotFoundError(errno.ENOENT, "no server listens here", server) from None
                raise
            break
        self._complain(server, ended)
        return ended.out

    def _complain(self, server: str, ended: program.Ended) -> None:
        """Raise when the client brought nothing; tell once when it brought a part only."""
        wrong = ended.complaint() if ended.code else ""
        wrong = next((line for line in ended.err.splitlines() if line.startswith("ERROR")), wrong)
        if wrong and not ended.out:
            missing = "(2)" in wrong and server.startswith("/")
            number = errno.ENOENT if missing else errno.EACCES if _DENIED.match(wrong) else errno.ECONNREFUSED
            raise OSError(number, wrong, server)
        if wrong and wrong != self._complaints.get(server):
            _log.warning("%s tells a part only: %s", server, wrong)
        self._complaints[server] = wrong


def _show(what: str, names: tuple[str, ...]) -> str:
    quoted = ",".join(f"'{name}'" for name in names)
    return f"SHOW GLOBAL {what} WHERE Variable_name IN ({quoted})"


def _replica_statement(version: str) -> str:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if "mariadb" in version.lower():
        return r"SHOW ALL SLAVES STATUS\G" if numbers >= _NAMED_IN else r"SHOW SLAVE STATUS\G"
    return r"SHOW REPLICA STATUS\G" if numbers >= _RENAMED_IN else r"SHOW SLAVE STATUS\G"


def _read(out: str) -> list[dict[str, str]]:
    """Return names and texts of the server, then those of each row that was shown upright.

    Of a name that stands twice in a row the first counts: the text of an error may look like one.
    """
    rows: list[dict[str, str]] = [{}]
    for line in out.splitlines():
        if _ROW.fullmatch(line):
            rows.append({})
        elif match := _PAIR.fullmatch(line):
            rows[-1].setdefault(_REPLICA.get(match[1], match[1].lower()), match[2])
    return rows


def _numbers(told: dict[str, str], names: tuple[str, ...]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in names:
        if name not in told:
            continue
        text = told[name].strip().lower()
        if name in _STATES:
            found[name] = int(text in _SOUND)
        elif name in _SWITCHES:
            found[name] = int(text not in _OFF)
        elif text.isdecimal():
            found[name] = int(text)
    return found
