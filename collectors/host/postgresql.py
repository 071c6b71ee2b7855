"""``postgresql``, ``postgresql_activity`` and ``postgresql_replication``: PostgreSQL's own statistics, asked by ``psql``."""

import errno
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collectors.host.sources import dial, program
from collectors.host.sources.targets import Targets
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.postgresql")

_SECONDS: Final = 8
_SETTINGS: Final = "connect_timeout=4 application_name=pantau-agent options='-c statement_timeout=6000'"
_WORD: Final = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']*)\s*")
_SECRET: Final = "password"  # noqa: S105 - the name of a setting
_DENIED: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|permission"
)
_SHARED: Final = "postgres_global"
_CHECKPOINTER_SINCE: Final = 170_000
_INTS: Final = (
    "numbackends",
    "xact_commit",
    "xact_rollback",
    "blks_read",
    "blks_hit",
    "tup_returned",
    "tup_fetched",
    "tup_inserted",
    "tup_updated",
    "tup_deleted",
    "conflicts",
    "temp_files",
    "temp_bytes",
    "deadlocks",
    "checksum_failures",
    "sessions",
    "sessions_abandoned",
    "sessions_fatal",
    "sessions_killed",
    "database_size",
    "xid_age",
    "checkpoints_timed",
    "checkpoints_req",
    "buffers_checkpoint",
    "buffers_clean",
    "maxwritten_clean",
    "buffers_backend",
    "buffers_backend_fsync",
    "buffers_alloc",
)
_FLOATS: Final = (
    "blk_read_time",
    "blk_write_time",
    "session_time",
    "active_time",
    "idle_in_transaction_time",
    "checkpoint_write_time",
    "checkpoint_sync_time",
)
# column of pg_stat_checkpointer -> the name it had in pg_stat_bgwriter
_CHECKPOINTER: Final = {
    "num_timed": "checkpoints_timed",
    "num_requested": "checkpoints_req",
    "write_time": "checkpoint_write_time",
    "sync_time": "checkpoint_sync_time",
    "buffers_written": "buffers_checkpoint",
}
_DATABASES: Final = """
select json_build_object('databases', json_agg(row_to_json(d))) from (
 select s.*, age(p.datfrozenxid) xid_age,
  case when has_database_privilege(p.oid, 'CONNECT') or pg_has_role('pg_read_all_stats', 'USAGE')
   then pg_database_size(p.oid) end database_size
 from pg_stat_database s left join pg_database p on p.oid = s.datid
 order by s.numbackends desc, s.xact_commit desc limit {most}) d
"""
_ACTIVITY: Final = """
select json_build_object('version', current_setting('server_version_num')::int, 'here', current_database(),
 'bgwriter', (select row_to_json(b) from pg_stat_bgwriter b), 'activity', (select row_to_json(a) from (
 select count(*) connections, count(*) filter (where state = 'active') active,
  count(*) filter (where state = 'idle') idle,
  count(*) filter (where state like 'idle in transaction%') idle_in_transaction,
  count(*) filter (where wait_event_type = 'Lock') waiting,
  coalesce(extract(epoch from max(now() - xact_start) filter (where pid <> pg_backend_pid())), 0)::float8
   oldest_transaction,
  current_setting('max_connections')::int max_connections,
  extract(epoch from now() - pg_postmaster_start_time())::int8 uptime,
  pg_is_in_recovery() in_recovery,
  case when not pg_is_in_recovery() then null
   when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
   else extract(epoch from now() - pg_last_xact_replay_timestamp()) end::float8 replay_lag
 from pg_stat_activity where backend_type = 'client backend') a))
"""
_REPLICATION: Final = """
select json_build_object('standbys', json_agg(row_to_json(r))) from (
 select application_name, count(*) senders,
  count(*) filter (where state = 'streaming') streaming,
  max(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end,
   replay_lsn))::int8 lag_bytes,
  coalesce(max(extract(epoch from replay_lag)), 0)::float8 replay_lag
 from pg_stat_replication group by application_name order by application_name limit {most}) r
"""
_CHECKPOINTS: Final = "select json_build_object('checkpointer', row_to_json(c)) from pg_stat_checkpointer c"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``servers``: libpq's connection strings, ``"host=/run/postgresql user=pantau dbname=postgres"``.

    By default the agent's own user, over the socket in /run/postgresql, to the database ``postgres``: no password. Where
    one is needed, the string names a file of passwords (``passfile=/etc/pantau/pgpass``). The role should be a member of
    ``pg_monitor``. Of more than ``max_databases`` databases the busiest are told of.
    """

    servers: tuple[str, ...] = ("dbname=postgres",)
    max_databases: int = 100

    def __post_init__(self) -> None:
        """ValueError for a string that is none, or that holds a password, which any user could read in the process list."""
        for server in self.servers:
            if _WORD.sub("", server.strip()):
                raise ValueError(
                    f"expected a connection string like 'host=/run/postgresql dbname=postgres', got {server!r}"
                )
            if _SECRET in dict(_WORD.findall(server)):
                raise ValueError("a password is not written in a connection string: name a passfile")


class Postgresql:
    """Calls ``psql`` for each server; databases of one server need no connection each."""

    def __init__(self, options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._options = options
        self._folder = f"{roots.run}/postgresql"
        self._run = run
        self._targets = Targets("postgresql")
        self._versions: dict[str, int] = {}
        self._complaints: dict[str, str] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return a ``postgresql`` point a database, an ``_activity`` point a server, a ``_replication`` point a standby's name.

        FileNotFoundError without psql or the socket, PermissionError for a role that may not connect, OSError when no
        server answers.
        """

        async def look(server: str) -> list[Point]:
            return self._points(server, await self._ask(server), now)

        return await self._targets.ask(self._options.servers, look)

    async def _ask(self, server: str) -> dict[str, Any]:
        words = dict(_WORD.findall(server))
        where = f"host={words.get('host') or self._folder} {server} {_SETTINGS}"
        queries = [sql.format(most=self._options.max_databases) for sql in (_DATABASES, _ACTIVITY, _REPLICATION)]
        if self._versions.get(server, 0) >= _CHECKPOINTER_SINCE:
            queries.append(_CHECKPOINTS)
        asked = [part for sql in queries for part in ("-c", " ".join(sql.split()))]
        ended = await self._run(("psql", "-XAtqw", "-d", where, *asked), seconds=_SECONDS)
        told: dict[str, Any] = {}
        for line in ended.out.splitlines():
            try:
                told |= msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                raise dial.protocol_error("psql's answer is not what was asked for", server) from None
        self._complain(server, ended, told)
        return told

    def _complain(self, server: str, ended: program.Ended, told: dict[str, Any]) -> None:
        """Raise when psql brought nothing; tell once when it brought a part only."""
        wrong = " ".join(ended.err.split()) if ended.code or ended.err else ""
        if not told:
            missing = "No such file or directory" in wrong
            denied = _DENIED.search(wrong)
            number = errno.ENOENT if missing else errno.EACCES if denied else errno.ECONNREFUSED
            raise OSError(number, wrong or ended.complaint(), server)
        if wrong and wrong != self._complaints.get(server):
            _log.warning("%s tells a part only: %s", server, wrong)
        self._complaints[server] = wrong

    def _points(self, server: str, told: dict[str, Any], now: int) -> list[Point]:
        self._versions[server] = told.get("version", 0)
        tags = {"server": _name(server)}
        checkpoints = {
            _CHECKPOINTER[key]: value for key, value in told.get("checkpointer", {}).items() if key in _CHECKPOINTER
        }
        of_server = {**told.get("bgwriter", {}), **checkpoints}
        points = []
        for database in told.get("databases") or ():
            name = database["datname"] or _SHARED
            both = {**database, **of_server} if name == told.get("here") else database
            points.append(Point("postgresql", {**tags, "db": name}, _fields(both), now))
        if "activity" in told:
            activity = {key: value for key, value in told["activity"].items() if value is not None}
            points.append(Point("postgresql_activity", tags, _floats(activity), now))
        for standby in told.get("standbys") or ():
            name = standby.pop("application_name") or "unnamed"
            fields = {key: value for key, value in standby.items() if value is not None}
            points.append(Point("postgresql_replication", {**tags, "application_name": name}, _floats(fields), now))
        return points


def _name(server: str) -> str:
    """Return host and port of a connection string."""
    words = {key: text.strip("'") for key, text in _WORD.findall(server)}
    return ":".join(filter(None, (words.get("host") or "localhost", words.get("port"))))


def _fields(row: dict[str, Any]) -> dict[str, Value]:
    fields: dict[str, Value] = {name: int(row[name]) for name in _INTS if row.get(name) is not None}
    fields |= {name: float(row[name]) for name in _FLOATS if row.get(name) is not None}
    return fields


def _floats(row: dict[str, Any]) -> dict[str, Value]:
    """Make floats of the figures in seconds, which JSON may write as whole numbers."""
    return {key: float(value) if key in {"oldest_transaction", "replay_lag"} else value for key, value in row.items()}
