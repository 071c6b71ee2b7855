"""PostgreSQL with a standby and MariaDB, as Debian ships them, asked by their own client programs."""

import errno
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from parts import daemon, free_port, require, wait_for

from collectors.host import Roots
from collectors.host.mysql import Mysql
from collectors.host.mysql import Options as MysqlOptions
from collectors.host.postgresql import Options, Postgresql
from collectors.host.sources.program import Ended

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

NOW = 1_700_000_000_000_000_000


class Cluster:
    """A primary of PostgreSQL and its standby, each on a socket of its own."""

    def __init__(self, folder, bin_folder):
        self.folder = folder
        self.bin = bin_folder
        self.port = free_port()
        self.user = {}
        self.switch = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            for place in (folder, *folder.parents):
                if place.owner() == "root" and place.stat().st_mode & 0o777 == 0o700:
                    place.chmod(0o755)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            self.switch = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups"]

    def call(self, name, *arguments):
        command = [self.bin / name, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self.user)

    def running(self, name):
        (self.folder / name).mkdir(mode=0o777, exist_ok=True)
        (self.folder / name).chmod(0o777)
        data = self.folder / f"{name}-data"
        command = [*self.switch, self.bin / "postgres", "-D", data, "-p", self.port, "-F"]
        command += ["-k", self.folder / name, "-c", "listen_addresses="]
        return daemon(command, log=self.folder / f"{name}.log")

    def sql(self, name, text):
        where = f"host={self.folder}/{name} port={self.port} user=pantau dbname=postgres"
        return subprocess.run(["psql", "-XAtqc", text, where], capture_output=True, text=True).stdout.strip()

    def address(self, name, **words):
        told = {"host": f"{self.folder}/{name}", "port": self.port, "user": "pantau", "dbname": "postgres", **words}
        return " ".join(f"{key}={value}" for key, value in told.items())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require("psql", "postgresql")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    one = Cluster(tmp_path_factory.mktemp("pg"), found[-1].parent)
    one.call("initdb", "-D", one.folder / "first-data", "-U", "pantau", "-A", "trust", "-E", "UTF8", "--no-sync")
    with one.running("first"):
        wait_for(lambda: one.sql("first", "select 1") == "1", 20, "the primary's start")
        source = f"host={one.folder}/first port={one.port} user=pantau application_name=cadangan"
        one.call("pg_basebackup", "-D", one.folder / "second-data", "-d", source, "-R", "-c", "fast", "--no-sync")
        with one.running("second"):
            wait_for(lambda: one.sql("second", "select 1") == "1", 20, "the standby's start")
            streaming = "select count(*) from pg_stat_replication where state = 'streaming'"
            wait_for(lambda: one.sql("first", streaming) == "1", 20, "the replication")
            yield one


async def test_postgresql_tells_of_its_databases(cluster):
    one = Postgresql(Options(servers=(cluster.address("first"),)), Roots())
    first = {point.tags.get("db"): point for point in await one.collect(NOW) if point.measurement == "postgresql"}
    cluster.sql("first", "create table t as select generate_series(1, 1000)")
    assert {"postgres", "template0", "template1", "postgres_global"} <= set(first)
    here = first["postgres"]
    assert here.tags["server"] == f"{cluster.folder}/first:{cluster.port}"
    assert here.fields["database_size"] > 1_000_000
    assert {"deadlocks", "checkpoints_timed", "xact_commit", "blks_hit"} <= set(here.fields)
    assert type(here.fields["session_time"]) is float
    wait_for(lambda: int(cluster.sql("first", "select sum(tup_inserted) from pg_stat_database")) >= 1000)
    after = {point.tags.get("db"): point for point in await one.collect(NOW)}["postgres"]
    assert after.fields["tup_inserted"] >= here.fields["tup_inserted"] + 1000


async def test_postgresql_tells_who_is_connected_and_who_waits(cluster):
    where = cluster.address("first")
    cluster.sql("first", "create table if not exists kunci ()")
    hold = "begin; lock table kunci; select pg_sleep(30)"
    holders = [subprocess.Popen(["psql", "-XAtqc", hold, where], stdout=subprocess.DEVNULL) for _ in range(2)]
    try:
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        wait_for(lambda: cluster.sql("first", waiting) == "1")
        points = await Postgresql(Options(servers=(where,)), Roots()).collect(NOW)
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
        others = "from pg_stat_activity where query like '%kunci%' and pid <> pg_backend_pid()"
        cluster.sql("first", f"select pg_terminate_backend(pid) {others}")
        wait_for(lambda: cluster.sql("first", f"select count(*) {others}") == "0", what="their end")
    (activity,) = (point for point in points if point.measurement == "postgresql_activity")
    assert activity.fields["waiting"] == 1
    assert activity.fields["active"] == 3  # itself among them
    assert activity.fields["oldest_transaction"] > 0
    assert activity.fields["max_connections"] == 100
    assert activity.fields["in_recovery"] is False
    assert "replay_lag" not in activity.fields


async def test_both_ends_of_a_replication_tell_of_it(cluster, missing):
    addresses = (cluster.address("first"), cluster.address("second"))
    points = await Postgresql(Options(servers=addresses), Roots()).collect(NOW)
    assert missing(points) == []
    (standby,) = (point for point in points if point.measurement == "postgresql_replication")
    assert standby.tags["application_name"] == "cadangan"
    assert (standby.fields["senders"], standby.fields["streaming"]) == (1, 1)
    assert standby.fields["lag_bytes"] >= 0
    first, second = (point.fields for point in points if point.measurement == "postgresql_activity")
    assert (first["in_recovery"], second["in_recovery"]) == (False, True)
    assert type(second["replay_lag"]) is type(standby.fields["replay_lag"]) is float


async def test_only_the_busiest_of_many_databases_are_told_of(cluster):
    one = Postgresql(Options(servers=(cluster.address("first"),), max_databases=2), Roots())
    assert sum(point.measurement == "postgresql" for point in await one.collect(NOW)) == 2


@pytest.mark.parametrize(
    ("words", "number"),
    [({"user": "orang-lain"}, errno.EACCES), ({"dbname": "tiada"}, errno.EACCES), ({"host": "/nowhere"}, errno.ENOENT)],
)
async def test_who_may_not_connect_is_told_why(cluster, words, number):
    one = Postgresql(Options(servers=(cluster.address("first", **words),)), Roots())
    with pytest.raises(OSError, match="|".join(words.values())) as caught:
        await one.collect(NOW)
    assert caught.value.errno == number


async def test_a_plain_role_gets_its_share_and_no_size_of_what_is_closed_to_it(cluster):
    for sql in (
        "create role biasa login",
        "create database tertutup",
        "revoke connect on database tertutup from public",
    ):
        cluster.sql("first", sql)
    points = await Postgresql(Options(servers=(cluster.address("first", user="biasa"),)), Roots()).collect(NOW)
    named = {point.tags["db"]: point for point in points if point.measurement == "postgresql"}
    assert "database_size" in named["postgres"].fields
    assert "database_size" not in named["tertutup"].fields
    assert "numbackends" in named["tertutup"].fields


async def test_part_of_an_answer_is_taken_and_its_trouble_told_once(caplog):
    async def run(command, *, seconds):
        return Ended(1, '{"databases":[{"datname":"a","numbackends":1}]}\n', "ERROR:  permission denied\nHINT:  ask\n")

    one = Postgresql(Options(), Roots(), run)
    for _ in range(3):
        (point,) = await one.collect(NOW)
        assert point.fields == {"numbackends": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "dbname=postgres tells a part only: ERROR: permission denied HINT: ask"
    ]


@pytest.mark.parametrize("server", ["host=x password=rahasia", "postgresql://x/y", "host='x"])
def test_a_connection_string_is_looked_at_early_and_never_holds_a_password(server):
    with pytest.raises(ValueError, match=r"passfile|expected") as caught:
        Options(servers=(server,))
    assert "rahasia" not in str(caught.value)


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    """A MariaDB on a socket; yields the socket's path."""
    make = require("mariadb-install-db", "mariadb-server")
    binary = require("mariadbd", "mariadb-server")
    folder = tmp_path_factory.mktemp("maria")
    data, path = folder / "data", folder / "m.sock"
    me = pwd.getpwuid(os.geteuid()).pw_name
    command = [make, "--no-defaults", f"--datadir={data}", f"--user={me}", "--skip-test-db"]
    subprocess.run([*command, "--auth-root-authentication-method=socket"], check=True, capture_output=True)
    command = [binary, "--no-defaults", f"--datadir={data}", f"--socket={path}", f"--user={me}", "--skip-networking"]
    command += [f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=8M", "--innodb-flush-method=nosync"]
    with daemon(command, log=folder / "mariadb.log"):
        wait_for(path.exists, 30, "the socket")
        wait_for(lambda: ask(path, "select 1") == "1", 20, "MariaDB's start")
        yield str(path)


def ask(path, sql, *more):
    command = ["mariadb", "--no-defaults", f"--socket={path}", "-BNe", sql, *more]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


async def test_mariadb_tells_of_its_work(mariadb, missing):
    one = Mysql(MysqlOptions(servers=(mariadb,)), Roots())
    before, _ = await one.collect(NOW)
    for _ in range(3):
        ask(mariadb, "select 1")
    after, variables = await one.collect(NOW)
    assert after.tags == variables.tags == {"server": mariadb}
    assert after.fields["com_select"] == before.fields["com_select"] + 3
    assert after.fields["threads_connected"] >= 1
    assert variables.fields["max_connections"] == 151
    assert variables.fields["read_only"] == 0
    assert "MariaDB" in variables.fields["version"]
    assert {type(value) for value in after.fields.values()} == {int}
    assert missing([after, variables]) == []


async def test_a_replica_of_mariadb_tells_that_it_does_not_run(mariadb):
    one = Mysql(MysqlOptions(servers=(mariadb,)), Roots())
    await one.collect(NOW)
    ask(mariadb, "change master to master_host='127.0.0.1', master_port=1, master_user='x'")
    try:
        status, _ = await one.collect(NOW)
    finally:
        ask(mariadb, "reset slave all")
    assert (status.fields["slave_slave_io_running"], status.fields["slave_slave_sql_running"]) == (0, 0)
    assert "slave_seconds_behind_master" not in status.fields


async def test_an_account_comes_from_a_file_and_its_password_is_on_no_command_line(mariadb, tmp_path):
    ask(mariadb, "create or replace user pantau@localhost identified by 'rahasia-kota'")
    file = tmp_path / "my.cnf"
    file.write_text("[client]\nuser=pantau\npassword=rahasia-kota\n")
    options = MysqlOptions(servers=(mariadb,), defaults_file=str(file))
    assert len(await Mysql(options, Roots()).collect(NOW)) == 2
    file.write_text("[client]\nuser=pantau\npassword=salah\n")
    with pytest.raises(PermissionError, match="Access denied"):
        await Mysql(options, Roots()).collect(NOW)


async def test_a_plain_account_is_told_that_it_sees_no_replication_once(mariadb, tmp_path, caplog):
    ask(mariadb, "create or replace user biasa@localhost identified by 'x'")
    file = tmp_path / "my.cnf"
    file.write_text("[client]\nuser=biasa\npassword=x\n")
    one = Mysql(MysqlOptions(servers=(mariadb,), defaults_file=str(file)), Roots())
    for _ in range(4):
        assert len(await one.collect(NOW)) == 2
    (record,) = caplog.records
    assert "tells a part only: ERROR 1227" in record.getMessage()


async def test_a_host_without_mariadb_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="mysqld"):
        await Mysql(MysqlOptions(), Roots(run=str(tmp_path))).collect(NOW)


async def test_a_host_without_a_client_says_so_only_when_there_is_a_server(tmp_path):
    async def no_client(command, *, seconds):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", command[0])

    (tmp_path / "mysqld").mkdir()
    local = Mysql(MysqlOptions(), Roots(run=str(tmp_path)), no_client)
    with pytest.raises(FileNotFoundError, match=r"mysqld\.sock"):
        await local.collect(NOW)
    (tmp_path / "mysqld" / "mysqld.sock").touch()
    with pytest.raises(FileNotFoundError, match="'mysql'"):
        await local.collect(NOW)
    with pytest.raises(FileNotFoundError, match="'mysql'"):
        await Mysql(MysqlOptions(servers=("db:3306",)), Roots(run=str(tmp_path)), no_client).collect(NOW)


async def test_mysqls_client_is_taken_where_mariadbs_is_missing():
    asked = []

    async def run(command, *, seconds):
        asked.append(command)
        if command[0] == "mariadb":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "mariadb")
        return Ended(0, "Variable_name\tValue\nUptime\t5\nversion\t8.4.3\n")

    one = Mysql(MysqlOptions(), Roots(), run)
    await one.collect(NOW)
    await one.collect(NOW)
    assert [command[0] for command in asked] == ["mariadb", "mysql"] * 2
    assert "REPLICA" not in asked[1][-1]
    assert asked[3][-1].endswith(r";SHOW REPLICA STATUS\G")
