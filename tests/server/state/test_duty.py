"""One centre on one PostgreSQL: who writes has the lock, and who lost it writes no more."""

import os
import re

import pytest
from sqlalchemy import insert, select

from alerts.tables import StateAway
from server.state.alone import Occupied
from server.state.database import Database
from server.state.opening import open_state
from server.state.place import Place
from server.state.tables import login

pytestmark = [pytest.mark.real, pytest.mark.timeout(240), pytest.mark.may_block]

ROW = insert(login).values(name="sari", address="10.0.0.1", at_ms=5)


def ignore(_words):
    pass


@pytest.fixture
def place(postgresql_url):
    return Place.parse(postgresql_url())


def end_all(server, place):
    name = place.url.rpartition("/")[2]
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_a_second_centre_is_refused_in_one_line_until_the_first_is_gone(place, tmp_path):
    first = open_state(place, tmp_path, ignore)
    words = (
        re.escape("another centre runs on this database: on ") + rf"\S+, process {os.getpid()}, from 127.0.0.1, since 2"
    )
    with pytest.raises(Occupied, match=words):
        open_state(place, tmp_path, ignore)
    first.close()
    open_state(place, tmp_path, ignore).close()


async def test_commands_write_beside_the_centre(place, tmp_path):
    centre, command = open_state(place, tmp_path, ignore), Database(place)
    await command.write(lambda tx: tx.execute(ROW))
    command.close()
    assert len(await centre.read(lambda tx: tx.execute(select(login)).all())) == 1
    centre.close()


async def test_a_broken_connection_takes_the_duty_again(place, tmp_path, postgresql_server):
    lost = []
    centre = open_state(place, tmp_path, lost.append)
    end_all(postgresql_server, place)
    await centre.write(lambda tx: tx.execute(ROW))
    with pytest.raises(Occupied):
        open_state(place, tmp_path, ignore)
    centre.close()
    assert lost == []


async def test_it_takes_over_from_a_connection_of_its_own_that_the_server_still_believes_in(place, tmp_path):
    centre = open_state(place, tmp_path, ignore)
    with centre.writing.connect() as held:
        held.detach()  # as if it had broken here without a word to the server
        await centre.write(lambda tx: tx.execute(ROW))
    centre.close()


async def test_who_lost_the_duty_to_another_one_writes_no_more_and_is_told_to_end(place, tmp_path, postgresql_server):
    lost = []
    first = open_state(place, tmp_path, lost.append)
    first.writing.dispose()  # its connection broke, and before it is back ...
    second = open_state(place, tmp_path, ignore)
    with pytest.raises(StateAway, match="another centre runs on this database"):
        await first.write(lambda tx: tx.execute(ROW))
    assert lost
    assert first.away
    assert await second.read(lambda tx: tx.execute(select(login)).all()) == []
    first.close()
    second.close()
