"""``pantau store delete``: through a running centre or without one, and nothing before it is said twice."""

import asyncio

import pytest
from settled import AT_ONCE

from collectors.point import Point
from configs.read import SettingsError
from server.admin.control_socket import Ask, Control, Points, ask
from server.cli.main import main
from server.inventory.known_hosts import HostError
from server.store import Deletion, StoreUnavailable
from server.store.buckets import Bucket, Buckets
from server.store.embedded.store import Embedded

S = 10**9
T = 1_795_000_000 * S  # 2026-11-18 18:06:40 in Jakarta
AHEAD = T + 3650 * 86400 * S


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "services.toml").write_text("")
    (tmp_path / "server.toml").write_text('[server]\ndata = "data"\nlanguage = "en"\n[[bucket]]\nname = "lab"\n')
    return tmp_path


@pytest.fixture
def pantau(folder, capsys):
    """Run the command; return its exit, output and errors."""

    async def run(*words):
        code = await asyncio.to_thread(main, ["store", "delete", *words, "--settings", str(folder / "server.toml")])
        return code, *capsys.readouterr()

    return run


async def filled(path):
    store = Embedded(AT_ONCE, path)
    hosts = [Point("cpu", {"host": f"h{number}"}, {"f": 1.0}, T + number * S) for number in range(7)]
    await store.write([*hosts, Point("cpu", {"host": "h0"}, {"f": 9.0}, AHEAD), Point("mem", {}, {"f": 1.0}, T)])
    return store


async def left(store):
    found = await store.find(Deletion("cpu")), await store.find(Deletion("mem"))
    return [one.values for one in found]


WHOLE = ("cpu", "--tag", "host=h0", "--from", "2036-01-01")
TOLD = "· pantau: cpu: 1 values of 1 series, 2036-11-15 18:06:40 to 2036-11-15 18:06:40\n    host=h0\n"


async def check(pantau):
    """Delete as an administrator does; the first time it only shows."""
    assert await pantau(*WHOLE) == (0, TOLD + "· nothing is deleted yet; the same with --yes deletes it\n", "")
    assert await pantau(*WHOLE, "--yes") == (0, TOLD + "+ deleted\n", "")
    assert await pantau(*WHOLE, "--yes") == (0, "· pantau: there are no such points of cpu\n", "")
    code, out, _ = await pantau("cpu", "--to", "2026-11-18T18:06:46", "--lang", "id")
    assert code == 0
    assert out.splitlines()[0] == "· pantau: cpu: 6 nilai dari 6 deret, 2026-11-18 18:06:40 sampai 2026-11-18 18:06:45"
    assert out.splitlines()[-2:] == [
        "· dan 1 deret lagi",
        "· belum ada yang dihapus; ulangi dengan --yes untuk menghapusnya",
    ]
    assert (await pantau("cpu", "--bucket", "lab"))[:2] == (0, "· lab: there are no such points of cpu\n")


async def test_it_works_on_a_store_that_nobody_has_open(folder, pantau):
    store = await filled(folder / "data" / "store")
    await store.close()
    await check(pantau)
    store = Embedded(AT_ONCE, folder / "data" / "store")
    assert await left(store) == [7, 1]
    assert [one.fields for one in await store.latest("cpu", ["f"], since=0, where={"host": "h0"})] == [{"f": 1.0}]
    await store.close()


async def no_host(name, by):
    raise HostError(f"no host {name!r} is known to {by}")


async def no_reload():
    raise SettingsError("line 1\nline 2")


async def test_it_asks_the_centre_that_has_the_store_open(folder, pantau):
    store, lab = await filled(folder / "data" / "store"), Embedded(AT_ONCE, folder / "lab")
    buckets = Buckets([Bucket("pantau", store, 1.0, 0), Bucket("lab", lab, 1.0, 0)])
    centre = Control(buckets, "sqlite://", folder / "data", lambda: 7, "1", no_host, no_reload)
    await centre.open()
    try:
        await check(pantau)
        assert await left(store) == [7, 1]
        answer = await ask(folder / "data", Ask(points=Points("nosuch", Deletion("cpu"))))
        assert answer.error == "unknown bucket 'nosuch'"
        assert (await ask(folder / "data", Ask())).error == "expected 'backup', 'forget', 'points' or 'reload'"
    finally:
        await centre.close()
        await buckets.close()


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("cpu", "--from", "yesterday"), 2, "expected a moment such as 2026-11-25T08:00, got 'yesterday'"),
        (("cpu", "--from", "2026-01-02", "--to", "2026-01-01"), 2, "--from 2026-01-02 is not before --to 2026-01-01"),
        (("cpu", "--bucket", "nosuch"), 2, "unknown bucket 'nosuch'; known: pantau, lab"),
    ],
)
async def test_what_makes_no_sense_is_refused(pantau, words, code, why):
    assert await pantau(*words, "--yes") == (code, "", f"pantau: {why}\n")


async def test_a_tag_needs_a_name_and_a_value(folder, capsys):
    for tag in ("host", "host=", "=a"):
        with pytest.raises(SystemExit):
            await asyncio.to_thread(main, ["store", "delete", "cpu", "--tag", tag])
        assert f"expected NAME=VALUE, got '{tag}'" in capsys.readouterr().err


async def test_a_store_that_is_away_is_said(folder, pantau, monkeypatch):
    async def away(*_):
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(Embedded, "find", away)
    assert await pantau("cpu", "--yes") == (1, "", "pantau: the disk is gone\n")
