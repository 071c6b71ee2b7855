"""Settings that are read again while the centre runs: what changes, what stays, and that bad ones change nothing."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from aiohttp import ClientSession
from parts import free_port, wait_until
from sqlalchemy import select

from alerts import tables
from configs.daemon import Systemd
from server.admin.control_socket import Ask, ask
from server.app import running
from server.settings import read
from server.state.tables import monitor_run
from server.web.context import WEB

pytestmark = pytest.mark.may_block

SERVER = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
language = "en"
{server}
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}{tokens}]
{rest}
"""
CHECK = """
[[check]]
id = "{id}"
service = "{service}"
type = "tcp"
host = "127.0.0.1"
port = {port}
interval = "{interval}"
timeout = "1s"
confirm = 1
"""
SERVICES = """
[[agency]]
id = "kominfo"
name = "{agency}"
[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
[[service]]
id = "surat"
name = "Surat"
agency = "kominfo"
"""


class House:
    """A centre in this process whose settings are written anew again and again."""

    def __init__(self, folder):
        self.folder, self.port, self.closed = folder, free_port(), free_port()
        (folder / "token").write_text("made-up")
        (folder / "second").write_text("second")
        self.base = f"http://127.0.0.1:{self.port}"

    def write(self, *checks, server="", tokens="", rest="", agency="Dinas Kominfo", port=None):
        rest = "\n".join([*checks, rest])
        text = SERVER.format(port=port or self.port, server=server, tokens=tokens, rest=rest)
        (self.folder / "server.toml").write_text(text)
        (self.folder / "services.toml").write_text(SERVICES.format(agency=agency))
        return self

    def check(self, name="down", interval="1s", service="portal", port=None):
        return CHECK.format(id=name, interval=interval, service=service, port=port or self.closed)

    def settings(self):
        return read(self.folder / "server.toml")

    async def reload(self):
        return await ask(self.folder / "data", Ask(reload=True))


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


async def rows(app, table):
    return await app[WEB].parts.database.read(lambda tx: tx.execute(select(table)).mappings().all())


async def test_new_ones_look_changed_ones_go_on_and_those_that_are_gone_are_retired(house):
    house.write(house.check("a"), house.check("b"))
    async with running(house.settings()) as app:
        await wait_until(lambda: opened(app, 2), 20, "both incidents")
        before = {row["check_id"]: row for row in await rows(app, tables.incident)}
        jobs = app[WEB].parts.punctuality.jobs
        house.write(house.check("a", interval="2s"), house.check("c"))
        assert (await house.reload()).done == "check new: c; changed: a; gone: b"
        found = {row["check_id"]: row for row in await rows(app, tables.incident)}
        assert found["a"] == before["a"]
        assert found["b"]["close_reason"] == "retired"
        assert sorted(name for name in jobs if not name.startswith("pantau/")) == ["a", "c"]
        assert jobs["a"].interval == 2
        await wait_until(lambda: opened(app, 2), 20, "the incident of the new check")
        assert {row["check_id"] for row in await rows(app, tables.state)} >= {"a", "c"}
        assert "b" not in {row["check_id"] for row in await rows(app, tables.state)}


async def opened(app, number):
    return number == sum(row["closed_ms"] is None for row in await rows(app, tables.incident))


async def test_a_check_that_moves_to_another_service_leaves_nothing_at_the_first(house):
    house.write(house.check("a"))
    async with running(house.settings()) as app:
        await wait_until(lambda: opened(app, 1), 20, "the incident")
        house.write(house.check("a", service="surat"))
        assert (await house.reload()).done == "check changed: a"

        async def moved():
            return {row["subject"] for row in await rows(app, tables.incident) if row["closed_ms"] is None}

        await wait_until(lambda: _is(moved, {"service/surat"}), 20, "the incident of the other service")


async def _is(ask_for, wanted):
    return await ask_for() == wanted


async def test_bad_settings_change_nothing_and_every_reason_is_told(house, caplog):
    house.write(house.check("a"))
    async with running(house.settings()) as app:
        await wait_until(lambda: opened(app, 1), 20, "the incident")
        house.write(house.check("a"), house.check("new"), rest="nonsense = 1")
        answer = await house.reload()
        assert "unknown field 'nonsense'" in answer.error
        house.write(house.check("new"), server='state = "sqlite:///elsewhere.db"', port=house.closed)
        answer = await house.reload()
        assert answer.error.splitlines() == [
            f"{what}, which needs a restart: systemctl restart pantau-server"
            for what in ("'listen' in [server] changed", "'state' in [server] changed")
        ]
        assert "the new settings were refused, those from before stay in force" in caplog.text
        assert [name for name in app[WEB].parts.punctuality.jobs if not name.startswith("pantau/")] == ["a"]
        assert await opened(app, 1)
        house.write(house.check("a"))
        assert (await house.reload()).done == "nothing changed"


async def test_stores_that_run_are_not_changed_but_new_buckets_and_times_are(house):
    lab = '[[bucket]]\nname = "lab"\nretention = "{}"\nstore = {{ series = {} }}\n'
    house.write()
    async with running(house.settings()) as app, ClientSession(house.base) as client:
        headers = {"Authorization": "Token made-up"}
        assert await wrote(client, "lab", headers) == 404
        house.write(rest=lab.format("30d", 100))
        assert (await house.reload()).done == "bucket new: lab"
        assert await wrote(client, "lab", headers) == 204
        house.write(rest=lab.format("60d", 100))
        assert (await house.reload()).done == "bucket changed: lab"
        assert app[WEB].parts.buckets.find("lab").retention == 60 * 86400
        house.write(rest=lab.format("60d", 200))
        assert "the store of bucket 'lab' changed, which needs a restart" in (await house.reload()).error
        house.write()
        assert "bucket 'lab' is gone, which needs a restart" in (await house.reload()).error
        assert await wrote(client, "lab", headers) == 204
    async with running(house.write(rest=lab.format("60d", 200)).settings()) as app:
        assert len(await app[WEB].parts.buckets.find("lab").store.measurements()) == 1


async def wrote(client, bucket, headers):
    target = f"/api/v2/write?org=pantau&bucket={bucket}"
    async with client.post(target, data="power,host=a watts=1", headers=headers) as answer:
        return answer.status


async def test_a_new_bucket_that_cannot_be_opened_refuses_all_of_it(house):
    folder = house.folder / "data/store/buckets/lab"
    house.write()
    async with running(house.settings()) as app:
        await asyncio.to_thread(folder.mkdir, parents=True)
        await asyncio.to_thread((folder / "points.duckdb").write_bytes, b"no database" * 1000)
        house.write(house.check("a"), rest='[[bucket]]\nname = "lab"\n')
        answer = await house.reload()
        if answer.error:  # the embedded store sets a damaged file aside where it can
            assert "lab" in answer.error
            assert "a" not in app[WEB].parts.punctuality.jobs


async def test_tokens_limits_titles_and_words_are_those_of_the_new_settings(house):
    house.write()
    async with running(house.settings()), ClientSession(house.base) as client:
        second = {"Authorization": "Token second"}
        assert await wrote(client, "pantau", second) == 401
        house.write(
            server='title = "Kota Baru"\nzone = "Asia/Jayapura"',
            tokens=', { name = "second", token = { file = "second" } }',
            agency="Dinas Baru",
        )
        told = (await house.reload()).done.splitlines()
        assert told == ["agency changed: kominfo", "token new: second", "[server] changed: zone, title"]
        assert await wrote(client, "pantau", second) == 204
        async with client.get("/status") as page:
            assert "Kota Baru" in await page.text()
        house.write()
        await house.reload()
        assert await wrote(client, "pantau", second) == 401


async def test_messages_on_their_way_go_through_the_channel_of_before_and_new_ones_through_the_new(house, hooks):
    first, second = hooks
    first.hold.clear()
    house.write(house.check("a"), rest=channel("hook", first.url))
    async with running(house.settings()) as app:
        await wait_until(lambda: first.begun, 20, "the message on its way")
        house.write(house.check("a"), house.check("b"), rest=channel("hook", second.url))
        assert "channel changed: hook" in (await house.reload()).done
        first.hold.set()
        await wait_until(lambda: first.kinds == ["problem"], 20, "the message")
        await wait_until(lambda: second.kinds == ["problem"], 20, "the message of the new check")
        house.write(house.check("a"), house.check("b"))
        assert "channel gone: hook" in (await house.reload()).done
        house.write(house.check("a"))
        await house.reload()  # closes an incident whose message has no channel any more

        async def buried():
            found = await rows(app, tables.outbox)
            return [(row["kind"], row["status"]) for row in found] == [
                ("problem", "sent"),
                ("problem", "sent"),
                ("recovery", "dead"),
            ]

        await wait_until(buried, 20, "the end of a message that nobody can carry")
    assert (first.kinds, second.kinds) == (["problem"], ["problem"])


def channel(name, url):
    text = '[[channel]]\nname = "{0}"\ntype = "webhook"\nurl = "{1}"\n[[contact]]\nid = "piket"\nchannels = [{{ channel = "{0}" }}]\n'
    return text.format(name, url)


class Receiver:
    """A webhook in a thread; it answers while ``hold`` is set."""

    def __init__(self):
        import http.server
        import json

        self.kinds, self.begun, self.hold = [], 0, threading.Event()
        self.hold.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.begun += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.hold.wait(30)
                receiver.kinds.append(body["kind"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def hooks():
    made = Receiver(), Receiver()
    yield made
    for one in made:
        one.hold.set()
        one.server.shutdown()
        one.server.server_close()


class Manager:
    """The service manager's end of the notify socket: what came, and when."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.words = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while word := self.sock.recv(1000):
                self.words.append((time.monotonic(), word.decode()))

    def count(self, word, since=0.0):
        return sum(word in said and at > since for at, said in self.words)


async def test_systemd_hears_of_life_as_long_as_loop_and_writer_get_ahead(house, tmp_path):
    manager = Manager(tmp_path)
    systemd = Systemd({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"})
    async with running(house.write().settings(), systemd) as app:
        await wait_until(lambda: manager.count("WATCHDOG=1") > 2, 10, "signs of life")
        time.sleep(0.3)  # what was under way has come
        frozen = time.monotonic()
        time.sleep(1.5)  # the loop hangs
        assert not manager.count("WATCHDOG=1", since=frozen)
        await wait_until(lambda: manager.count("WATCHDOG=1", since=frozen) > 2, 10, "signs of life again")

        release = threading.Event()
        stuck = asyncio.create_task(app[WEB].parts.database.write(lambda _: release.wait(30)))
        await asyncio.sleep(0.5)
        frozen = time.monotonic()
        await asyncio.sleep(1.5)  # the loop runs, the writer hangs
        assert not manager.count("WATCHDOG=1", since=frozen)
        release.set()
        await stuck
        await wait_until(lambda: manager.count("WATCHDOG=1", since=frozen) > 2, 10, "signs of life once more")
        assert len(await rows(app, monitor_run)) == 1


async def test_systemd_hears_of_a_reload_and_what_became_of_it(house, tmp_path):
    manager = Manager(tmp_path)
    hung_up = asyncio.Event()
    async with running(house.write().settings(), Systemd({"NOTIFY_SOCKET": str(manager.path)}), hung_up):
        house.write(rest="nonsense = 1")
        hung_up.set()
        await wait_until(lambda: manager.count("READY=1\nSTATUS=the new settings were refused"), 10, "the refusal")
        assert manager.count("RELOADING=1\nMONOTONIC_USEC=") == 1
        house.write()
        hung_up.set()
        await wait_until(lambda: manager.count("READY=1\nSTATUS=runs"), 10, "the good one")
