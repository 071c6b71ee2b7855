"""What the client shows of several replicas, and of states whose words are not known."""

import pytest

from collectors.host import Roots
from collectors.host.mysql import Mysql, Options
from collectors.host.sources.program import Ended

NOW = 1_700_000_000_000_000_000
STATUS = "Variable_name\tValue\nUptime\t5\nQueries\t12\n"
MARIADB = "Variable_name\tValue\nversion\t10.11.6-MariaDB-log\nread_only\tON\n"
MYSQL = "Variable_name\tValue\nversion\t8.4.3\n"


def row(number, **columns):
    head = f"{'*' * 27} {number}. row {'*' * 27}"
    return "\n".join([head, *(f"{name:>30}: {text}" for name, text in columns.items())]) + "\n"


@pytest.fixture
def look():
    """Points of the second reading, and the statements of it, of a server that answers with these texts."""

    async def reading(*texts):
        asked = []

        async def run(command, *, seconds):
            asked.append(command[-1])
            return Ended(0, "".join(texts))

        one = Mysql(Options(servers=("/run/db.sock",)), Roots(), run)
        await one.collect(NOW)
        return await one.collect(NOW), asked[-1]

    return reading


async def test_each_named_connection_of_mariadb_has_a_point_of_its_own(look):
    points, asked = await look(
        STATUS,
        MARIADB,
        row(1, Connection_name="", Slave_IO_Running="Yes", Slave_SQL_Running="Yes", Seconds_Behind_Master=3),
        row(2, Connection_name="arsip", Slave_IO_Running="Connecting", Slave_SQL_Running="No", Last_IO_Errno=2003,
            Seconds_Behind_Master="NULL"),
        row(3, Connection_name="pajak", Slave_IO_Running="Yes", Slave_SQL_Running="Yes", Seconds_Behind_Master=0),
    )  # fmt: skip
    assert asked.endswith(r";SHOW ALL SLAVES STATUS\G")
    server, arsip, pajak, variables = points
    assert server.tags == variables.tags == {"server": "/run/db.sock"}
    assert server.fields == {
        "uptime": 5,
        "queries": 12,
        "slave_slave_io_running": 1,
        "slave_slave_sql_running": 1,
        "slave_seconds_behind_master": 3,
    }
    assert (arsip.measurement, arsip.tags) == ("mysql", {"server": "/run/db.sock", "channel": "arsip"})
    assert arsip.fields == {"slave_slave_io_running": 0, "slave_slave_sql_running": 0, "slave_last_io_errno": 2003}
    assert pajak.tags["channel"] == "pajak"
    assert pajak.fields == {
        "slave_slave_io_running": 1,
        "slave_slave_sql_running": 1,
        "slave_seconds_behind_master": 0,
    }


async def test_each_channel_of_mysql_has_a_point_of_its_own(look):
    points, asked = await look(
        STATUS,
        MYSQL,
        row(1, Replica_IO_Running="Yes", Replica_SQL_Running="No", Seconds_Behind_Source=7, Channel_Name="satu"),
        row(2, Replica_IO_Running="No", Replica_SQL_Running="Yes", Seconds_Behind_Source=8, Channel_Name="dua"),
    )
    assert asked.endswith(r";SHOW REPLICA STATUS\G")
    assert [(p.tags.get("channel"), p.fields.get("slave_seconds_behind_master")) for p in points] == [
        (None, None), ("satu", 7), ("dua", 8), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["Preparing", "Connecting", "No", "NO", "OFF", "Something New", ""])
async def test_a_state_that_is_not_known_to_be_sound_is_not(look, word):
    status = STATUS + f"wsrep_ready\t{word}\nwsrep_connected\tON\n"
    server, _ = (await look(status, MARIADB, row(1, Slave_IO_Running=word, Slave_SQL_Running="Yes")))[0]
    assert server.fields["slave_slave_io_running"] == 0
    assert server.fields["slave_slave_sql_running"] == 1
    assert (server.fields["wsrep_ready"], server.fields["wsrep_connected"]) == (0, 1)


async def test_a_replica_without_a_name_is_told_beside_its_server(look):
    points, _ = await look(STATUS, MARIADB, " Slave_IO_Running: Preparing\nSlave_SQL_Running: Yes\n")
    assert len(points) == 2
    assert (points[0].fields["slave_slave_io_running"], points[0].fields["slave_slave_sql_running"]) == (0, 1)


@pytest.mark.parametrize(("word", "value"), [("OFF", 0), ("0", 0), ("ON", 1), ("1", 1), ("NO_LOCK_NO_ADMIN", 1)])
async def test_a_server_that_lets_only_some_write_is_read_only(look, word, value):
    points, _ = await look(STATUS, MARIADB.replace("read_only\tON", f"read_only\t{word}"))
    assert points[-1].fields["read_only"] == value


async def test_the_text_of_an_error_is_not_taken_for_a_column(look):
    lie = "x\nSlave_SQL_Running: Yes\n"
    points, _ = await look(STATUS, MARIADB, row(1, Slave_SQL_Running="No", Last_SQL_Error=lie))
    assert points[0].fields["slave_slave_sql_running"] == 0


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        ("5.5.68-MariaDB", "SHOW SLAVE STATUS"),
        ("10.0.38-MariaDB", "SHOW ALL SLAVES STATUS"),
        ("11.8.2-MariaDB-ubu2404", "SHOW ALL SLAVES STATUS"),
        ("5.7.44-log", "SHOW SLAVE STATUS"),
        ("8.0.21", "SHOW SLAVE STATUS"),
        ("8.0.22", "SHOW REPLICA STATUS"),
        ("9.1.0", "SHOW REPLICA STATUS"),
    ],
)
async def test_each_version_is_asked_in_words_that_it_understands(look, version, statement):
    _, asked = await look(STATUS, f"version\t{version}\n")
    assert asked.rpartition(";")[2] == statement + r"\G"
