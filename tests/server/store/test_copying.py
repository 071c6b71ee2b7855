"""``pantau store copy``: a city that outgrew the embedded store moves into an InfluxDB; killed, repeated, refused."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
from parts import free_port, wait_for

from collectors.point import Point, UInt
from configs.secret import Secret
from configs.units import Duration
from server.cli.main import main
from server.store import Aggregate, Range
from server.store.copying import Copy
from server.store.embedded.store import Embedded, Options
from server.store.influx.connection import Options as InfluxOptions
from server.store.influx.store import Influx

S = 10**9
HOUR = 3600 * S
DAY = 24 * HOUR
EVER = Options(raw=Duration(10**9), minutes=Duration(10**9), five_minutes=Duration(10**9), window=Duration(0.0))
SETTINGS = """
[server]
data = "data"
language = "en"
[store]
type = "influx"
url = "{url}"
bucket = "{bucket}"
{more}
"""


# the command with a database that takes its time, so that it is not done before it is killed
SLOWLY = """
import asyncio, sys
from server.cli.main import main
from server.store.influx.store import Influx
real = Influx.write
async def write(*arguments):
    await asyncio.sleep(0.5)
    return await real(*arguments)
Influx.write = write
sys.exit(main(sys.argv[1:]))
"""


class Move:
    """A folder with points in the embedded store, and settings that name an InfluxDB."""

    def __init__(self, folder, options):
        self.folder = folder
        self.options = options
        self.store = folder / "data" / "store"
        self.store.mkdir(parents=True)
        (folder / "services.toml").touch()
        self.file = folder / "server.toml"
        more = f'org = "kota"\ntoken = {{ file = "{options.token._name}" }}' if options.token else ""
        self.file.write_text(SETTINGS.format(url=options.url, bucket=options.bucket, more=more))

    def command(self, *words):
        return ["store", "copy", "--from", "embedded", "--to", "influx", "--settings", str(self.file), *words]

    def fill(self, points, options=EVER):
        async def write():
            store = Embedded(options, self.store)
            await store.open()
            await store.write(points)
            while await store.settle(everything=True):
                pass
            await store.close()

        asyncio.run(write())

    def counted(self, start, end, policy=""):
        async def count():
            store = Influx(self.options, self.folder)
            try:
                return await store.counts(policy, start, end)
            finally:
                await store.close()

        return asyncio.run(count())


@pytest.fixture(params=["influx1", "influx2"])
def move(request, names, tmp_path):
    if request.param == "influx1":
        options = InfluxOptions(url=request.getfixturevalue("influx1_url"), bucket=next(names))
    else:
        url, _, token = request.getfixturevalue("influx2")
        options = InfluxOptions(url=url, bucket=next(names), org="kota", token=Secret("file", str(token)))
    made = Move(tmp_path, options)
    assert main(["store", "init", "--settings", str(made.file)]) == 0
    return made


def points(hour, step=100):
    """An hour of every type, of two hosts."""
    return [
        Point(
            "m", {"host": host}, {"f": n * 1.5 + at, "i": n + at, "u": UInt(n), "b": n % 2 == 0, "s": 'a "b"'}, hour + n * step * S
        )
        for at, host in enumerate(["a", "b c"])
        for n in range(3600 // step)
    ]  # fmt: skip


def without_first(series):
    """Leave out the first window: of roll-ups it has nothing to begin at, or less."""
    return msgspec.structs.replace(series, times=series.times[1:], values=series.values[1:])


@pytest.mark.timeout(240)
def test_every_question_is_answered_as_before(move, capsys):
    now = time.time_ns() // HOUR * HOUR
    recent, old = now - 3 * HOUR, now // DAY * DAY - 40 * DAY
    move.fill([point for start in (recent, recent + HOUR, old, old + HOUR, old + 30 * HOUR) for point in points(start)])
    assert main(move.command()) == 0
    assert "the counts agree" in capsys.readouterr().out

    async def compare():
        before, after = Embedded(EVER, move.store), Influx(move.options, move.folder)
        await before.open()
        for aggregate in Aggregate:
            for field in ("f", "i", "u"):
                for start, end, step in (
                    (recent, now, 300 * S),
                    (old, old + 2 * DAY, HOUR),
                    (old, recent // DAY * DAY, DAY),  # soon after midnight, too, without what is recent
                ):
                    query = Range("m", field, start, end, step, aggregate, by=["host"])
                    if aggregate is Aggregate.IRATE and start == old:
                        continue  # roll-ups do not tell of the last two values
                    wanted, got = await before.range(query), await after.range(query)
                    if aggregate is Aggregate.RATE and start == old:
                        wanted = [without_first(one) for one in wanted]
                        got = [without_first(one) if step == DAY else one for one in got]
                    assert [(one.tags, one.times) for one in got] == [(one.tags, one.times) for one in wanted]
                    for one, other in zip(got, wanted, strict=True):
                        assert one.values == pytest.approx(other.values), query
        assert await after.latest("m", ["f", "i", "b", "s"], since=old) == await before.latest(
            "m", ["f", "i", "b", "s"], since=old
        )
        await before.close()
        await after.close()

    asyncio.run(compare())


@pytest.mark.timeout(240)
def test_history_of_which_only_roll_ups_are_left_moves_too(move, capsys):
    now = time.time_ns() // HOUR * HOUR
    old = now // DAY * DAY - 60 * DAY
    move.fill([*points(old, 1), *points(old + HOUR, 1), *points(now - HOUR)])  # so few as points() usually are stay raw
    # as the store forgets by itself: raw values after 30 days, minutes after a week
    move.fill([Point("m", {"host": "a"}, {"f": 1.0}, now - HOUR)], Options(window=Duration(0.0)))
    assert main(move.command()) == 0
    assert "the counts agree" in capsys.readouterr().out
    assert move.counted(old, old + 2 * HOUR) == {}
    assert move.counted(old, old + 2 * HOUR, "1h")["m", "mean_f"] == 4

    async def ask():
        store = Influx(move.options, move.folder)
        found = await store.range(Range("m", "f", old, old + 2 * HOUR, HOUR, Aggregate.COUNT, by=["host"]))
        await store.close()
        return [one.values for one in found]

    assert asyncio.run(ask()) == [[3600.0, 3600.0], [3600.0, 3600.0]]


@pytest.mark.timeout(240)
def test_a_copy_that_is_killed_goes_on_and_a_repeat_adds_nothing(move, capsys):
    now = time.time_ns() // HOUR * HOUR
    move.fill([point for n in range(1, 25) for point in points(now - n * HOUR, 60)])
    command = [sys.executable, "-c", SLOWLY, *move.command()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = move.store / "copied.json"
    wait_for(state.exists, 20, "the first hour")
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = json.loads(state.read_bytes())["hours"]
    assert main(move.command()) == 0
    told = capsys.readouterr().out
    assert f"going on: {done} of " in told
    counted = move.counted(now - DAY, now)
    assert counted["m", "f"] == counted["m", "s"] == 24 * 120
    assert main(move.command("--again")) == 0
    assert move.counted(now - DAY, now) == counted


def test_what_came_after_a_copy_is_copied_by_the_next(move, capsys):
    now = time.time_ns() // HOUR * HOUR
    move.fill(points(now - 5 * HOUR))
    assert main(move.command()) == 0
    move.fill([*points(now - 2 * HOUR), *points(now - HOUR)])
    assert main(move.command()) == 0
    assert move.counted(now - DAY, now)["m", "f"] == 3 * 72


def test_a_type_that_conflicts_is_told_and_is_no_success(move, capsys):
    now = time.time_ns() // HOUR * HOUR

    async def spoil():
        store = Influx(move.options, move.folder)
        await store.write([Point("m", {}, {"f": "text"}, now - 2 * HOUR)])
        await store.close()

    asyncio.run(spoil())
    move.fill(points(now - 2 * HOUR))
    assert main(move.command()) == 1
    told = capsys.readouterr().err
    assert "fields were refused, e.g. field type conflict: input field" in told
    assert "m f has 1 values, not 72" in told
    assert "not every value arrived" in told


@contextmanager
def used(folder):
    """Another process that has the store open, as a centre has."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom server.store.embedded.store import Embedded, Options\n"
        "async def main():\n    await Embedded(Options(), Path(sys.argv[1])).open()\n    print('open', flush=True)\n"
        "    await asyncio.sleep(60)\nasyncio.run(main())"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, env=os.environ)
    try:
        assert process.stdout.readline() == b"open\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_store_in_use_is_refused_with_what_to_do(move, capsys):
    move.fill(points(time.time_ns() // HOUR * HOUR - HOUR))
    with used(move.store):
        assert main(move.command()) == 2
    assert "the embedded store is in use (" in capsys.readouterr().err
    assert main(move.command()) == 0


def test_it_does_not_begin_without_a_source_a_target_or_a_place_for_roll_ups(tmp_path, influx1_url, names, capsys):
    made = Move(tmp_path, InfluxOptions(url=influx1_url, bucket=next(names)))
    assert main(made.command()) == 2
    assert "there is nothing to copy" in capsys.readouterr().err
    made.fill(points(time.time_ns() // HOUR * HOUR - HOUR))
    assert main(made.command()) == 2
    assert "1h is not there yet: run pantau store init" in capsys.readouterr().err
    made.file.write_text(made.file.read_text().replace(influx1_url, f"http://127.0.0.1:{free_port()}"))
    assert main(made.command("--lang", "id")) == 2
    assert "tidak terjangkau: " in capsys.readouterr().err
    made.file.write_text('[server]\ndata = "data"')
    assert main(made.command("--lang", "en")) == 2
    assert 'still has type = "embedded"' in capsys.readouterr().err


def test_a_target_that_goes_away_is_waited_for_and_then_told(move, monkeypatch, capsys):
    monkeypatch.setattr("server.cli.store_copy.Copy", partial(Copy, pauses=(0.01, 0.01)))
    move.fill([point for n in (1, 2, 3) for point in points(time.time_ns() // HOUR * HOUR - n * HOUR)])
    real, calls = Influx.write, []

    async def away(self, points, policy=""):
        from server.store import StoreUnavailable

        calls.append(policy)
        if len(calls) in {2, 3} or len(calls) > 12:
            raise StoreUnavailable("gone")
        return await real(self, points, policy)

    monkeypatch.setattr(Influx, "write", away)
    assert main(move.command()) == 1
    assert "stopped: gone. The same command goes on from here" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(move.command()) == 0
    assert "the counts agree" in capsys.readouterr().out


def test_history_without_a_place_is_counted_out(move, capsys):
    now = time.time_ns() // HOUR * HOUR
    old = now // DAY * DAY - 60 * DAY
    move.fill([*points(old, 1), *points(now - HOUR)])
    move.fill([Point("m", {"host": "a"}, {"f": 1.0}, now - HOUR)], Options(window=Duration(0.0)))
    move.file.write_text(move.file.read_text() + '\nraw = "0s"\n')
    assert main(["store", "init", "--settings", str(move.file)]) == 0
    assert main(move.command()) == 0
    told = capsys.readouterr().out
    assert "1 hours are left as roll-ups only and were not copied" in told
    assert "the counts agree" in told


def test_an_hour_that_did_not_arrive_is_written_once_more(move, monkeypatch, capsys):
    now = time.time_ns() // HOUR * HOUR
    move.fill(points(now - HOUR))
    real, lost = Influx.write, []

    async def loses(self, points, policy=""):
        from server.store import Written

        if not lost:
            lost.append(points)
            return Written(len(points))
        return await real(self, points, policy)

    monkeypatch.setattr(Influx, "write", loses)
    assert main(move.command()) == 0
    assert "72 points, 360 values, 2 roll-ups; the counts agree" in capsys.readouterr().out
    assert lost


def test_what_the_target_would_not_keep_is_left_out(move, capsys):
    now = time.time_ns()
    edge = (now - DAY) // HOUR * HOUR
    move.file.write_text(move.file.read_text().replace("[server]", '[server]\nretention = "1d"'))
    assert main(["store", "init", "--change", "--settings", str(move.file)]) == 0
    move.fill([point for hour in (edge - HOUR, edge, edge + 2 * HOUR) for point in points(hour)])
    capsys.readouterr()
    assert main(move.command()) == 0
    assert "72 points" in capsys.readouterr().out
    assert move.counted(now - 3 * DAY, now)["m", "f"] == 72


def test_every_bucket_is_copied_into_its_own(move, names, capsys):
    other = "".join(letter if letter.isalnum() else "-" for letter in next(names))
    move.file.write_text(move.file.read_text() + f'\n[[bucket]]\nname = "{other}"\n')
    assert main(["store", "init", "--settings", str(move.file)]) == 0
    now = time.time_ns() // HOUR * HOUR
    move.fill(points(now - HOUR))
    main_store, main_options = move.store, move.options
    move.store = main_store / "buckets" / other
    move.store.mkdir(parents=True)
    move.fill(points(now - HOUR)[:10])
    capsys.readouterr()
    assert main(move.command("--bucket", "pantau")) == 0
    assert "72 points" in capsys.readouterr().out
    assert main(move.command("--bucket", other)) == 0
    told = capsys.readouterr().out
    assert "10 points" in told
    assert "pantau:\n" not in told
    assert main(move.command()) == 0
    told = capsys.readouterr().out
    assert "pantau:\n" in told
    assert f"{other}:\n" in told
    assert move.counted(now - DAY, now)["m", "f"] == 72
    import msgspec

    move.options = msgspec.structs.replace(main_options, bucket=other)
    assert move.counted(now - DAY, now)["m", "f"] == 10
