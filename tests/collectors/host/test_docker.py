"""A real engine (Podman, which serves Docker's API) with a container; crowds of containers by made-up answers."""

import asyncio
import errno
import json
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from parts import daemon, require, wait_for

from collectors.host import Roots
from collectors.host.docker import Docker, Options
from collectors.host.sources.engine import Container, Memory, Reading, Stats, of_container

NOW = 1_700_000_000_000_000_000
SECOND = 10**9
OLD = NOW // SECOND - 3600


@pytest.fixture(scope="module")
def short():
    """A folder with a short path: Podman takes no more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="podman", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def engine(short):
    """Podman's service with one container that runs and one that ended with 3; yields the socket's path."""
    podman = require("podman", "podman")
    busybox = require("busybox", "busybox-static")
    require("runc", "runc")
    folder = short
    flags = [f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs", "--runtime=runc"]
    flags += ["--cgroup-manager=cgroupfs", "--events-backend=file"]

    def call(*arguments):
        return subprocess.run([podman, *flags, *arguments], capture_output=True, text=True, timeout=120)

    (folder / "tree/bin").mkdir(parents=True)
    subprocess.run(["cp", busybox, folder / "tree/bin/sh"], check=True)
    (folder / "tree/bin/sleep").symlink_to("sh")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / "tree.tar", "."], check=True)
    assert call("import", str(folder / "tree.tar"), "kota/uji:1.2").returncode == 0
    run = ["run", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]
    busy = "while true; do i=$((i+1)); sleep 0.01; done"
    started = call(*run, "-d", "--name=layanan", "--memory=64m", "kota/uji:1.2", "/bin/sh", "-c", busy)
    try:
        if started.returncode:
            pytest.skip(f"no container can be run here: {started.stderr.strip()[-200:]}")
        call(*run, "--name=selesai", "kota/uji:1.2", "/bin/sh", "-c", "exit 3")
        socket = folder / "p.sock"
        with daemon([podman, *flags, "system", "service", "-t", "0", f"unix://{socket}"], log=folder / "log"):
            wait_for(socket.exists, 15, "the socket")
            yield str(socket)
    finally:
        call("rm", "-f", "-t", "0", "-a")


@pytest.mark.real
@pytest.mark.timeout(240)
async def test_an_engine_tells_of_itself_and_of_what_it_runs(engine):
    one = Docker(Options(socket=engine, min_age=0), Roots())
    await one.collect(time.time_ns())
    await asyncio.sleep(0.5)
    now = time.time_ns()
    points = {(p.measurement, p.tags.get("container_name")): p for p in await one.collect(now)}
    about = next(p for key, p in points.items() if key[0] == "docker")
    assert {"engine_host", "server_version"} <= set(about.tags)
    cpu = points["docker_container_cpu", "layanan"]
    assert cpu.tags["container_image"] == "localhost/kota/uji"
    assert (cpu.tags["container_version"], cpu.tags["container_status"]) == ("1.2", "running")
    assert cpu.fields["usage_percent"] > 0
    memory = points["docker_container_mem", "layanan"]
    assert memory.fields["limit"] == 64 * 2**20
    assert 0 < memory.fields["usage_percent"] < 100
    state = points["docker_container_status", "layanan"].fields
    assert state["pid"] > 0
    assert 0 < state["uptime_ns"] < 600 * SECOND
    ended = points["docker_container_status", "selesai"]
    assert (ended.fields["exitcode"], ended.tags["container_status"]) == (3, "exited")
    assert ("docker_container_cpu", "selesai") not in points


@pytest.mark.real
@pytest.mark.timeout(240)
async def test_names_can_be_left_out(engine):
    points = await Docker(Options(socket=engine, min_age=0, excludes=("lay*",)), Roots()).collect(time.time_ns())
    assert {p.tags.get("container_name") for p in points} == {None, "selesai"}


class Crowd:
    """A made-up engine: containers by name, with created time and memory; ``asked`` is what was asked for."""

    def __init__(self, containers=()):
        self.containers = dict(containers)
        self.asked = []
        self.at = 0

    async def __call__(self, url, *, seconds, socket="", most=0):
        place = url.removeprefix("http://localhost")
        self.asked.append(place)
        if place == "/info":
            counts = dict.fromkeys(("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped"), 0)
            return json.dumps({"Name": "node", "ServerVersion": "29.0", "Images": 1, **counts}).encode()
        if place.startswith("/containers/json"):
            return json.dumps(
                [
                    {"Id": name, "Names": [f"/{name}"], "Image": "a:1", "State": "running", "Created": created}
                    for name, (created, _) in self.containers.items()
                ]
            ).encode()
        name = place.split("/")[2]
        if name not in self.containers:
            raise FileNotFoundError(errno.ENOENT, "status 404", url)
        if place.endswith("/json"):
            return json.dumps({"State": {"Pid": 7, "StartedAt": "2023-11-14T21:13:20Z"}}).encode()
        usage = {"cpu_usage": {"total_usage": self.at * SECOND // 2}}
        memory = {"usage": self.containers[name][1], "limit": 1000}
        read = f"2023-11-14T22:13:{20 + self.at:02d}Z"
        return json.dumps({"read": read, "cpu_stats": usage, "memory_stats": memory}).encode()


@pytest.fixture
def crowd(tmp_path):
    (tmp_path / "docker.sock").touch()
    engine = Crowd()
    return engine, lambda **options: Docker(Options(**options), Roots(run=str(tmp_path)), engine)


def memory(points):
    return {p.tags["container_name"]: p.fields for p in points if p.measurement == "docker_container_mem"}


async def test_of_many_containers_the_largest_have_series_and_the_others_are_added_up(crowd):
    engine, make = crowd
    engine.containers = {f"c{number}": (OLD, number) for number in range(30)}
    one = make(max_containers=3)
    first = memory(await one.collect(NOW))
    assert set(first) == {"c29", "c28", "c27", "other"}
    assert first["other"] == {"usage": sum(range(27)), "containers": 27}
    engine.at = 10
    points = await one.collect(NOW + 10 * SECOND)
    cpu = {p.tags["container_name"]: p.fields["usage_percent"] for p in points if p.measurement.endswith("cpu")}
    assert cpu == {"c29": 50.0, "c28": 50.0, "c27": 50.0, "other": 27 * 50.0}
    assert sum("c0/" in place for place in engine.asked) == 2  # its figures twice, never its details


async def test_more_than_can_be_asked_are_not_asked(crowd):
    engine, make = crowd
    engine.containers = {f"c{number}": (OLD - number, 5) for number in range(30)}
    await make(max_containers=3, max_asked=10).collect(NOW)
    assert sum("stats" in place for place in engine.asked) == 10
    assert any("c29/stats" in place for place in engine.asked)  # the oldest


async def test_twenty_thousand_short_lived_names_in_an_hour_stay_within_the_limit(crowd):
    engine, make = crowd
    one = make(max_names=40)
    seen = set()
    for turn in range(360):
        at = NOW + turn * 10 * SECOND
        batch = {f"job{turn}-{number}": (at // SECOND - 70 * (number % 2), 9) for number in range(56)}
        engine.containers = {"tetap": (OLD, 1), **batch} if turn else {"tetap": (OLD, 1)}
        seen |= set(memory(await one.collect(at)))
    assert len(seen) == 40 + 1
    assert {"tetap", "other"} <= seen
    assert len(one._names) == 40
    assert len(one._before) == 57
    later = memory(await one.collect(NOW + 2 * 86_400 * SECOND))
    assert len(later) == 40 + 1  # names of yesterday make room for 40


async def test_one_that_vanishes_meanwhile_is_left_out(crowd):
    engine, make = crowd
    engine.containers = {"a": (OLD, 1), "b": (OLD, 1)}
    inner = engine.__call__

    async def vanishing(url, **options):
        page = await inner(url, **options)
        engine.containers.pop("b", None)
        return page

    one = make()
    one._fetch = vanishing
    assert set(memory(await one.collect(NOW))) == {"a"}


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"Name": 5}', b""])
async def test_what_is_no_engine_is_an_error(tmp_path, page):
    (tmp_path / "docker.sock").touch()

    async def fetch(url, **_options):
        return page

    with pytest.raises(OSError, match="not an engine's") as caught:
        await Docker(Options(), Roots(run=str(tmp_path)), fetch).collect(NOW)
    assert caught.value.errno == errno.EPROTO


async def test_an_engine_that_hangs_costs_its_deadline_only(tmp_path):
    over = asyncio.Event()

    async def hang(_reader, writer):
        await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "docker.sock")
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
        await Docker(Options(), Roots(run=str(tmp_path)), seconds=0.2).collect(NOW)
    assert time.monotonic() - began < 15
    over.set()
    server.close()


async def test_a_host_without_an_engine_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no socket of Docker or Podman") as caught:
        await Docker(Options(), Roots(run=str(tmp_path))).collect(NOW)
    assert caught.value.filename == f"{tmp_path}/docker.sock"


async def test_a_socket_nobody_serves_is_an_error_that_passes(tmp_path):
    (tmp_path / "docker.sock").touch()
    with pytest.raises(ConnectionRefusedError, match=r"docker\.sock"):
        await Docker(Options(), Roots(run=str(tmp_path))).collect(NOW)


@pytest.mark.parametrize(
    ("told", "host_memory", "expected"),
    [
        ({"limit": 2**64 - 1, "max_usage": 2**64 - 1}, 1 << 30, {"limit": 1 << 30, "usage_percent": 25.0}),
        (
            {"limit": 2**63 - 4096, "max_usage": 1 << 29},
            1 << 30,
            {"limit": 1 << 30, "usage_percent": 25.0, "max_usage": 1 << 29},
        ),
        ({"limit": 2**64 - 1}, 0, {}),
        ({"limit": 1 << 29}, 1 << 30, {"limit": 1 << 29, "usage_percent": 50.0}),
        ({"limit": 0}, 1 << 30, {}),
    ],
)
def test_what_stands_for_no_limit_is_no_limit(told, host_memory, expected):
    container = Container("a" * 64, "uji", "running", OLD)
    stats = Stats("2023-11-14T22:13:20Z", memory_stats=Memory(usage=1 << 28, **told))
    points = {p.measurement: p for p in of_container(Reading(container, stats, None), {}, NOW, host_memory=host_memory)}
    fields = points["docker_container_mem"].fields
    assert fields == {"container_id": container.id, "usage": 1 << 28, "fail_count": 0, **expected}
