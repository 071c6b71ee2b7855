"""Hosts join with a one-time token and then write with one of their own: only as themselves, only from that machine."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from alerts.state import Policy, step
from alerts.states import States
from collectors.point import Point
from collectors.result import Reason, Result, Status
from server.enrolment import invitations
from server.enrolment.fingerprints import HEADER, Clones, fingerprint, same
from server.enrolment.invitations import EnrolmentError
from server.enrolment.join import Join, route
from server.ingest.endpoints import Ingest, routes
from server.state.database import Database
from server.state.migrate import upgrade
from server.store.buckets import Bucket, Buckets
from server.watching.jobs import clones_job
from server.watching.watched import CLONES_CHECK

HOUR = 3_600_000
ONE = "aaaaaaaaaaaa 111111111111 222222222222"
COPY = "aaaaaaaaaaaa 333333333333"  # the same machine-id, another card
V2 = "/api/v2/write?org=pantau&bucket=pantau"


class Clock:
    def __init__(self):
        self.ms = 1_800_000_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def database(tmp_path):
    database = await asyncio.to_thread(Database, f"sqlite:///{tmp_path / 'state.db'}")
    await asyncio.to_thread(upgrade, database.engine)
    yield database
    await asyncio.to_thread(database.close)


class Client:
    """Speaks to a centre as an agent does."""

    def __init__(self, base, session, ingest, store, database, clock):
        self.base, self.session, self.ingest, self.store = base, session, ingest, store
        self.database, self.clock = database, clock

    async def invite(self, hosts=1, hours=1, host=None):
        at = self.clock()
        return await self.database.write(
            lambda tx: invitations.invite(tx, hosts=hosts, until=at + hours * HOUR, by="sari", at=at, host=host)
        )

    async def join(self, token, host="srv-1", machine=ONE, **more):
        body = {"token": token, "host": host, "machine": machine, **more}
        async with self.session.post(f"{self.base}/api/pantau/join", json=body) as answer:
            return answer.status, await answer.json()

    async def joined(self, host="srv-1", machine=ONE):
        status, body = await self.join(await self.invite(), host, machine)
        assert status == 201
        return body["token"]

    async def write(self, token, body=b"m,host=srv-1 f=1 7", machine=ONE, path=V2):
        headers = {"Authorization": f"Token {token}"} | ({HEADER: machine} if machine else {})
        async with self.session.post(self.base + path, data=body, headers=headers) as answer:
            told = await answer.json() if answer.content_type == "application/json" else {}
            return answer.status, told.get("message", told.get("error", ""))

    async def change(self, work, *arguments, **more):
        return await self.database.write(lambda tx: work(tx, *arguments, by="sari", at=self.clock(), **more))


@pytest.fixture
async def client(database, memory_store, options, clock):
    ingest = Ingest(Buckets([Bucket(options.bucket, memory_store, 0.0, 0)]), database, clock, clock, options)
    await ingest.open()
    join = Join(
        database, clock, {"org": options.org, "bucket": options.bucket}, ingest.enrolled, lambda request: request.remote
    )
    app = web.Application()
    app.add_routes([*routes(ingest), route(join)])
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Client(f"http://127.0.0.1:{runner.addresses[0][1]}", session, ingest, memory_store, database, clock)
    await runner.cleanup()
    await ingest.close()


async def test_a_host_joins_and_writes_with_a_token_of_its_own(client):
    status, told = await client.join(await client.invite())
    assert (status, told["host"], told["org"], told["bucket"]) == (201, "srv-1", "pantau", "pantau")
    assert await client.write(told["token"]) == (204, "")
    assert client.store.points == [Point("m", {"host": "srv-1"}, {"f": 1.0}, 7)]


async def test_a_one_time_token_is_good_for_as_many_hosts_as_it_says(client):
    token = await client.invite(hosts=2)
    assert [(await client.join(token, f"srv-{n}"))[0] for n in (1, 2, 3)] == [201, 201, 401]


async def test_a_one_time_token_that_is_too_old_withdrawn_or_made_up_is_refused_in_the_same_words(client):
    old, withdrawn = await client.invite(hours=1), await client.invite(hours=9)
    await client.change(invitations.withdraw, 2)
    client.clock.ms += HOUR
    answers = [await client.join(token) for token in (old, withdrawn, "pantau_join_0")]
    assert answers == [(401, {"message": "the one-time token is unknown, used up or too old"})] * 3


async def test_the_database_holds_no_token(client, tmp_path):
    invited = await client.invite()
    _, told = await client.join(invited)
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("state.db*"))
    assert b"srv-1" in kept
    for token in (invited, told["token"]):
        assert token.encode() not in kept
        assert token.rpartition("_")[2].encode() not in kept


async def test_points_of_other_hosts_are_rejected_and_its_own_are_kept(client):
    token = await client.joined()
    body = b"m,host=srv-1 f=1 7\nm,host=srv-2 f=1 7\nm f=1 7"
    status, why = await client.write(token, body)
    assert (status, "dropped=2" in why) == (422, True)
    assert "points of host 'srv-1' only, not of host 'srv-2'" in why
    assert client.store.points == [Point("m", {"host": "srv-1"}, {"f": 1.0}, 7)]
    assert client.ingest.seen().keys() == {"srv-1"}
    assert (await client.write(token, body, path="/write?db=pantau"))[0] == 400


@pytest.mark.parametrize("machine", [COPY, "", "no fingerprint"])
async def test_another_machine_with_the_same_token_is_refused_and_told_of(client, machine):
    token = await client.joined()
    await client.write(token)
    status, why = await client.write(token, machine=machine)
    assert (status, "belongs to another machine, which joined as srv-1" in why) == (403, True)
    assert [one.host for one in client.ingest.clones.conflicts(client.clock())] == ["srv-1"]
    assert len(client.store.points) == 1


async def test_a_card_that_comes_or_goes_changes_nothing(client):
    token = await client.joined()
    for machine in ("aaaaaaaaaaaa 222222222222 444444444444", "aaaaaaaaaaaa"):
        assert await client.write(token, machine=machine) == (204, "")


@pytest.mark.parametrize("renew", [{}, {"renew": False}, {"renew": True}])
async def test_no_invitation_for_any_host_takes_a_name_over_from_another_machine(client, renew):
    first, invited = await client.joined(), await client.invite()
    assert (await client.join(invited, machine=COPY, **renew))[0] == 409
    assert await client.write(first) == (204, "")
    assert (await client.join(invited, host="srv-2", machine=COPY))[0] == 201  # the refusal has not cost it


async def test_an_invitation_that_names_the_host_is_good_for_that_host_on_any_machine_and_for_no_other(client):
    first, invited = await client.joined(), await client.invite(host="srv-1")
    status, why = await client.join(invited, host="srv-2", machine=COPY)
    assert (status, why["message"]) == (403, "the one-time token is for the host srv-1, not for srv-2")
    status, told = await client.join(invited, machine=COPY)
    assert status == 201
    assert await client.write(told["token"], machine=COPY) == (204, "")
    assert (await client.write(first))[0] == 401
    assert (await client.join(invited, machine=COPY))[0] == 401  # it was for once


async def test_the_machine_that_loses_its_name_is_told_why_and_is_an_incident_as_long_as_it_writes(client):
    first = await client.joined()
    job = clones_job(client.ingest.clones, States(), 15.0, client.clock, listening_since=0)
    _, told = await client.join(await client.invite(host="srv-1"), machine=COPY)
    await client.write(told["token"], machine=COPY)
    assert await job.look(client.clock()) == []  # hardware that was replaced and is silent is nobody's loss
    client.clock.ms += 5000
    assert await client.write(first) == (
        401,
        "this token ended: another machine has joined as srv-1; see pantau-agent doctor",
    )
    assert (await client.write(first, path="/write?db=pantau"))[0] == 401
    (result,) = await job.look(client.clock())
    assert (result.subject, result.status, result.reason) == ("host/srv-1", Status.DEGRADED, Reason.CLONE)
    assert len(client.store.points) == 1
    client.clock.ms += 5 * 60_000
    assert await job.look(client.clock()) == []
    await client.change(invitations.accept, "srv-1")  # the administrator gives the name back
    assert (await client.join(await client.invite()))[0] == 201


async def test_a_machine_that_joined_afresh_is_no_loser_of_its_own_name(client):
    former, _ = await client.joined(), await client.joined()
    client.clock.ms += 5000
    assert await client.write(former) == (401, "unauthorized access")
    assert client.ingest.clones.conflicts(client.clock()) == []


async def test_a_machine_that_was_refused_a_name_at_joining_is_accepted_and_then_joins(client):
    first, invited = await client.joined(), await client.invite()
    assert (await client.join(invited, machine=COPY))[0] == 409
    with pytest.raises(EnrolmentError, match=r"is at 127\.0\.0\.1"):
        await client.change(invitations.accept, "srv-1", address="10.0.0.9")
    await client.change(invitations.accept, "srv-1", address="127.0.0.1")
    status, told = await client.join(invited, machine=COPY)
    assert status == 201
    client.clock.ms += 5000
    assert await client.write(told["token"], machine=COPY) == (204, "")
    assert (await client.write(first))[0] == 401


async def test_the_same_machine_may_join_again_and_its_former_token_ends(client):
    first, second = await client.joined(), await client.joined()
    assert (await client.write(first))[0] == 401
    assert await client.write(second) == (204, "")


async def test_a_revoked_token_ends_within_seconds(client):
    token = await client.joined()
    assert await client.write(token) == (204, "")
    await client.change(invitations.revoke, "srv-1")
    client.clock.ms += 5000
    assert (await client.write(token))[0] == 401


async def test_a_machine_that_was_refused_can_be_accepted_as_the_successor(client):
    token = await client.joined()
    with pytest.raises(EnrolmentError, match="no other machine"):
        await client.change(invitations.accept, "srv-1")
    await client.write(token, machine=COPY)
    await client.change(invitations.accept, "srv-1")
    client.clock.ms += 5000
    assert await client.write(token, machine=COPY) == (204, "")
    assert (await client.write(token))[0] == 403


async def test_who_guesses_has_to_wait_and_who_is_invited_has_not(client):
    token = await client.invite(hosts=30)
    assert {(await client.join(token, f"srv-{n}"))[0] for n in range(30)} == {201}
    answers = [(await client.join(f"pantau_join_{n}"))[0] for n in range(12)]
    assert answers == [401] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"machine": "x"}, 400),
        ({"host": ""}, 400),
        ({"host": "a b"}, 400),
        ({"host": "x" * 300}, 400),
        ({"host": 1}, 400),
    ],
)
async def test_a_malformed_request_costs_no_use_of_the_token(client, change, status):
    token = await client.invite()
    assert (await client.join(token, **change))[0] == status
    assert (await client.join(token))[0] == 201


async def test_a_body_that_is_too_large_is_refused(client):
    async with client.session.post(f"{client.base}/api/pantau/join", data=b"x" * 5000) as answer:
        assert answer.status == 413


async def test_with_a_shared_token_the_first_machine_has_the_name_until_it_is_silent(client):
    token = "s3cret-token"
    assert await client.write(token) == (204, "")
    assert (await client.write(token, machine=COPY))[0] == 403
    assert await client.write(token, b"m,host=srv-2 f=1 7", machine=COPY) == (204, "")
    assert await client.write(token, machine="") == (204, "")  # a client that is no agent of Pantau
    client.clock.ms += 11 * 60_000
    assert await client.write(token, machine=COPY) == (204, "")
    assert (await client.write(token))[0] == 403


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ("aaaaaaaaaaaa 111111111111", True),
        ("aaaaaaaaaaaa", True),
        ("aaaaaaaaaaaa 333333333333", False),
        ("bbbbbbbbbbbb 111111111111", False),
    ],
)
def test_machines_are_told_apart(other, equal):
    assert same(ONE, other) is same(other, ONE) is equal


def test_only_fingerprints_are_taken_for_one():
    assert fingerprint(ONE) == ONE
    assert [fingerprint(text) for text in ("", "x", ONE.upper(), " ".join(["a" * 12] * 18), f"{ONE}\n")] == [""] * 5


async def test_an_incident_is_told_until_the_clone_is_gone_and_not_closed_by_a_restart():
    known = States()
    known.put(step(None, Result(CLONES_CHECK, "host/srv-1", Status.UP, Reason.OK, 1), Policy(15.0), steady=1).state)
    steady = [3000]
    clones = Clones()
    job = clones_job(clones, known, 15.0, lambda: steady[0], listening_since=0)
    assert clones.admit("srv-1", ONE, at=1000, address="10.0.0.1")
    assert not clones.admit("srv-1", COPY, at=2000, address="10.0.0.2")
    (result,) = await job.look(10**12)
    assert (result.subject, result.status, result.reason) == ("host/srv-1", Status.DEGRADED, Reason.CLONE)
    assert result.detail == "10.0.0.2 is refused the name srv-1, which 10.0.0.1 has"
    fresh = clones_job(Clones(), known, 15.0, lambda: steady[0], listening_since=0)
    steady[0] = 100_000
    assert await fresh.look(10**12) == []  # however late it is: nobody listened for long enough
    steady[0] = 300_000
    assert [result.status for result in await fresh.look(10**12)] == [Status.UP]
