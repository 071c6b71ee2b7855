"""``pantau up``: a centre and an agent for this host, from nothing, on the embedded store (``make run``)."""

import argparse
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from server.settings import read

_FIRST_PORT: Final = 8420
_ADMIN: Final = "admin"

_SERVER: Final = """\
# Made by `pantau up` on its first run; yours to change. Every setting: docs/settings.md

[server]
listen = "127.0.0.1:{port}"
data = "data"
title = "Pantau {host}"

[store]
type = "embedded"

[ingest]
tokens = [{{ name = "agent", token = {{ file = "secrets/ingest-token" }} }}]

# The service `pantau` below is watched by its address; these are the further checks of this machine.
[[check]]
id = "pantau-http"
service = "pantau"
type = "http"
url = "http://127.0.0.1:{port}/status"
interval = "30s"

[[check]]
id = "pantau-tcp"
service = "pantau"
type = "tcp"
host = "127.0.0.1"
port = {port}
interval = "30s"
counts = false

[[check]]
id = "resolver-dns"
service = "resolver"
type = "dns"
name = "localhost"
rcode = ["NOERROR", "NXDOMAIN"]
interval = "1m"

[[rule]]
id = "host-silent"
name = "Agen tidak mengirim data"
type = "absence"
window = "1m"
severity = "high"
arti = "Server tidak mengirim data ke Pantau"
dampak = "Keadaan server ini tidak diketahui"
langkah = "Periksa apakah server menyala dan agen Pantau berjalan"

[[rule]]
id = "disk-full"
name = "Disk hampir penuh"
measurement = "disk"
field = "used_percent"
by = ["path"]
above = 90
recover = 85
for = "5m"
severity = "high"
arti = "Ruang disk hampir habis"
dampak = "Aplikasi di server ini dapat berhenti menulis data"
langkah = "Hapus berkas lama atau tambah ruang disk"

[[rule]]
id = "disk-failed"
name = "Disk menjadi hanya baca"
measurement = "disk"
field = "emergency_ro"
by = ["path"]
above = 0
severity = "critical"
arti = "Sistem berkas menjadi hanya baca karena galat"
dampak = "Aplikasi di server ini tidak dapat menulis data"
langkah = "Lihat dmesg, amankan data, periksa disk, lalu jalankan fsck dan pasang ulang"

[[rule]]
id = "memory-full"
name = "Memori hampir habis"
measurement = "mem"
field = "used_percent"
above = 95
recover = 90
for = "5m"
severity = "medium"
arti = "Memori server hampir habis"
dampak = "Aplikasi di server ini dapat melambat atau berhenti"
langkah = "Periksa proses yang memakai memori paling banyak"
"""

_SERVICES: Final = """\
# The register of agencies and services: replace these with yours (an example to copy: configs/services.toml).

[[agency]]
id = "pengelola"
name = "Pengelola Pantau"

[[service]]
id = "pantau"
name = "Pantau"
agency = "pengelola"
url = "http://127.0.0.1:{port}/status"
criticality = 5
impact = "Tidak ada yang mengawasi layanan lain"

[[service]]
id = "resolver"
name = "Resolver DNS"
agency = "pengelola"
criticality = 3
impact = "Nama domain tidak dapat ditemukan dari mesin ini"

[[host]]
id = "{host}"
agency = "pengelola"
"""

_AGENT: Final = """\
[agent]
interval = "10s"
host = "{host}"
state_dir = "agent"

[output]
url = "http://127.0.0.1:{port}"
org = "pantau"
bucket = "pantau"
token = {{ file = "secrets/ingest-token" }}
"""


def add(commands: Any) -> None:
    """Add ``up``."""
    command = commands.add_parser("up", help="start a centre and an agent for this host; sets up on the first run")
    command.add_argument("--folder", type=Path, default=Path("run"), help="where it keeps everything (default: ./run)")
    command.add_argument(
        "--port", type=int, help=f"of the dashboard, on the first run (default: {_FIRST_PORT} or the next free)"
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder.resolve()
    first = not (folder / "server.toml").exists()
    if first:
        set_up(folder, arguments.port or _free_port(), socket.gethostname())
    settings = read(folder / "server.toml")
    password = _first_admin(folder) if first else None
    address = f"http://{settings.listen[0]}:{settings.listen[1]}"
    with _running(folder, "server.cli.main", "server", "--settings", str(folder / "server.toml")) as centre:
        if not _answers(f"{address}/health", centre):
            print(f"pantau: the centre did not start; see {folder / 'server.log'}", file=sys.stderr)
            return 1
        with _running(folder, "agent.cli", "--settings", str(folder / "agent.toml")) as agent:
            _greet(folder, address, password)
            return _wait(centre, agent)


def set_up(folder: Path, port: int, host: str) -> None:
    """Write the first settings and secrets of one machine into ``folder``; an existing file is kept."""
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    (folder / "secrets").chmod(0o700)
    _write(folder / "secrets" / "ingest-token", secrets.token_urlsafe(32), 0o600)
    for name, text in {"services.toml": _SERVICES, "agent.toml": _AGENT, "server.toml": _SERVER}.items():
        _write(folder / name, text.format(port=port, host=host), 0o644)


def _write(file: Path, text: str, mode: int) -> None:
    if not file.exists():
        file.touch(mode=mode)
        file.write_text(text, encoding="utf-8")


def _first_admin(folder: Path) -> str:
    password = secrets.token_urlsafe(12)
    command = [sys.executable, "-m", "server.cli.main", "user", "add", _ADMIN, "--role", "admin", "--password-stdin"]
    command += ["--settings", str(folder / "server.toml")]
    subprocess.run(command, input=password, text=True, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own program
    return password


def _free_port() -> int:
    for port in range(_FIRST_PORT, _FIRST_PORT + 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {_FIRST_PORT} on")


@contextmanager
def _running(folder: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our programs until the block ends; its log is in the folder."""
    log = folder / f"{module.partition('.')[0]}.log"
    with log.open("ab") as out:
        command = [sys.executable, "-m", module, *arguments]
        # own session: a Ctrl-C goes to us alone, and we end them in order
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, start_new_session=True)  # noqa: S603 - our own program
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str, process: subprocess.Popen[bytes], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return True
        except OSError:
            time.sleep(0.1)
    return False


def _greet(folder: Path, address: str, password: str | None) -> None:
    print(f"\n  Pantau is running.\n\n  Dashboard  {address}/\n  Public     {address}/status")
    if password is None:
        command = f"{sys.argv[0]} user passwd {_ADMIN} --settings {folder / 'server.toml'}"
        print(f"  User       {_ADMIN} (password: shown on the first run; a new one: {command})")
    else:
        print(f"  User       {_ADMIN}\n  Password   {password}   (shown this once)")
    print(f"  Settings   {folder}\n\n  Ctrl-C stops both.\n", flush=True)


def _wait(centre: subprocess.Popen[bytes], agent: subprocess.Popen[bytes]) -> int:
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    while not stopped:
        for name, process in (("centre", centre), ("agent", agent)):
            if process.poll() is not None:
                print(f"pantau: the {name} ended with code {process.returncode}; see its log", file=sys.stderr)
                return 1
        time.sleep(0.3)
    return 0
