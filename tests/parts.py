"""Real parts for tests: servers and device daemons on free ports of 127.0.0.1, or a visible skip that says how to get them."""

import asyncio
import errno
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 4  # how many times longer than it should take something is waited for: a busy machine is no fault of ours


def require(binary: str, package: str) -> str:
    """Return the path of a program, or skip with the command that installs it."""
    path = shutil.which(binary, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{binary} is missing: apt-get install {package}")
    return path


def require_env(name: str, what: str) -> str:
    """Return the path of a program that an environment variable names, or skip and say so."""
    path = os.environ.get(name, "")
    if not path or not Path(path).exists():
        pytest.skip(f"{what} is missing: set {name} to its path")
    return path


def require_ipv6() -> None:
    """Skip where the loopback interface has no IPv6."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6: sysctl net.ipv6.conf.lo.disable_ipv6=0")


def _ports() -> Iterator[int]:
    """Ports that no connection gets by chance and no other worker of this run hands out, each once for a long time."""
    try:
        first_by_chance = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first_by_chance = 32768
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = range(10_000 + worker, first_by_chance, workers) or range(10_000 + worker, 32_768, workers)
    start = int.from_bytes(os.urandom(4)) % len(mine)  # other runs on this machine begin elsewhere
    yield from itertools.cycle([*mine[start:], *mine[:start]])


_PORTS = _ports()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that nothing but who is told of it will take."""
    while True:
        port = next(_PORTS)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise
                continue
        return port


def wait_for(happened, seconds: float = 10.0, what: str = "it"):
    """Wait until ``happened()`` is truthy and return that; fail after ``seconds``, or longer on a busy machine."""
    end = time.monotonic() + PATIENCE * seconds
    while True:
        if value := happened():
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {PATIENCE * seconds} s")
        time.sleep(0.05)


async def wait_until(happened, seconds: float = 10.0, what: str = "it"):
    """Like ``wait_for`` on an event loop; ``happened`` may be async."""
    end = time.monotonic() + PATIENCE * seconds
    while True:
        value = happened()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {PATIENCE * seconds} s")
        await asyncio.sleep(0.05)


def post_json(url: str, body: object, token: str = "") -> Any:
    """Send JSON with a token of InfluxDB 2; return the JSON of the answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Token {token}"}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def listens(port: int) -> bool:
    """Tell whether a TCP server accepts on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def daemon(
    command: Sequence[str],
    *,
    port: int | None = None,
    log: Path,
    env: dict[str, str] | None = None,
    seconds: float = 20,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen]:
    """Run a program until the block ends (SIGTERM, then SIGKILL to its whole group); wait until it listens on ``port``."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE * seconds
        while port is not None and not listens(port):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield process
    finally:
        for kill in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, kill)
                process.wait(10 * PATIENCE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            break
        process.wait(10 * PATIENCE)


@contextmanager
def nginx(folder: Path, config: str, port: int) -> Iterator[subprocess.Popen]:
    """Run nginx with ``config`` as the inside of its ``http { }`` block."""
    binary = require("nginx", "nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / name).mkdir(exist_ok=True)
    file = folder / "nginx.conf"
    file.write_text(
        f"""daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 512; }}
        http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
        fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
        {config} }}"""
    )
    with daemon([binary, "-p", folder, "-c", file], port=port, log=folder / "out.log") as process:
        yield process


@contextmanager
def influxdb1(folder: Path, http: str = "", port: int | None = None) -> Iterator[str]:
    """Run InfluxDB 1.6.7 on what ``folder`` holds; ``http`` are more lines of ``[http]``. Yields its base URL."""
    binary = require("influxd", "influxdb")
    port, rpc = port or free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "influxdb.conf"
    file.write_text(
        f"""reporting-disabled = true
        bind-address = "127.0.0.1:{rpc}"
        [meta]
        dir = "{folder}/meta"
        [data]
        dir = "{folder}/data"
        wal-dir = "{folder}/wal"
        [http]
        bind-address = "127.0.0.1:{port}"
        log-enabled = false
        {http}
        [monitor]
        store-enabled = false
        """
    )
    with daemon([binary, "-config", file], port=port, log=folder / "out.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def influxdb2(folder: Path, org: str = "pantau", bucket: str = "pantau") -> Iterator[tuple[str, Path]]:
    """Run InfluxDB 2.7 with one bucket; yields its base URL and the file of its token."""
    binary = require_env("PANTAU_TEST_INFLUXD2", "InfluxDB 2.7")
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text("made-up-token\n")
    places = [f"--{name}-path={folder / name}" for name in ("bolt", "engine", "sqlite")]
    command = [binary, f"--http-bind-address=127.0.0.1:{port}", *places, "--reporting-disabled"]
    owner = {"username": "admin", "password": "made-up-1", "org": org, "bucket": bucket, "token": "made-up-token"}

    def set_up():
        try:
            return post_json(f"http://127.0.0.1:{port}/api/v2/setup", owner)
        except OSError:
            return None

    with daemon(command, port=port, log=folder / "log"):
        wait_for(set_up, 15, "the setup of InfluxDB 2")
        yield f"http://127.0.0.1:{port}", token


@contextmanager
def snmpd(folder: Path, port: int, community: str = "kota") -> Iterator[subprocess.Popen]:
    """Run net-snmp's snmpd on a UDP port, readable with ``community`` over v2c; yields once it answers."""
    binary = require("snmpd", "snmpd")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "snmpd.conf"
    file.write_text(f"agentAddress udp:127.0.0.1:{port}\nrocommunity {community} 127.0.0.1\nsysName sw-uji\n")
    command = [binary, "-f", "-Lo", "-C", "-c", file, "-I", "-smux", "-p", folder / "pid"]
    with daemon(command, log=folder / "out.log", env={"SNMP_PERSISTENT_DIR": str(folder)}) as process:
        wait_for(lambda: "NET-SNMP version" in (folder / "out.log").read_text(errors="replace"), 15, "snmpd's start")
        yield process
