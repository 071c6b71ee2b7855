"""The centre under measurement, a real process of its own, and what stands around it: a database, a web server to look at."""

import os
import pwd
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import daemons
import psutil
from daemons import Missing, free_port, program

from configs.clock import wall_ms
from server.state.database import Database
from server.state.migrate import upgrade
from server.web import accounts, sessions
from server.web.accounts import Passwords

ROOT: Final = Path(__file__).parents[1]
TOKEN: Final = "made-up-token-for-the-benchmark"
_PATIENCE: Final = 120.0  # seconds until something listens
_DRAIN: Final = 60.0  # seconds for the stop of the centre
_SERVER: Final = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
state = "{state}"
[server.connections]
total = 16000
per_client = 8000
[schedule]
total = 512
per_type = 512
per_target = 512
[ingest]
tokens = [{{ name = "bench", token = {{ file = "token" }} }}]
new_hosts = 20000
"""
_REGISTER: Final = '[[agency]]\nid = "a"\nname = "Agency"\n'
_NGINX: Final = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 4096; }}
http {{ log_format at "$msec"; access_log {folder}/access.log at; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "Selamat datang di layanan kota"; }} }} }}
"""


class Web(NamedTuple):
    """A web server to look at; ``log`` has a line for each request: when it was answered, seconds since the epoch."""

    url: str
    log: Path

    def answered(self) -> list[float]:
        """Return when each request so far was answered, seconds since the epoch."""
        return [float(line) for line in self.log.read_text().split()]


class Centre:
    """A centre in ``folder`` that is to be started; ``state`` is the URL of its database, "" for SQLite."""

    def __init__(self, folder: Path, state: str = "", settings: str = "", register: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = state
        self.pid = 0
        (folder / "token").write_text(TOKEN)
        (folder / "server.toml").write_text(_SERVER.format(port=self.port, state=state) + settings)
        (folder / "services.toml").write_text(_REGISTER + register)

    @property
    def database(self) -> str:
        """The URL of its database."""
        return self.state or f"sqlite:///{self.folder}/data/state.db"

    @property
    def store(self) -> Path:
        """The folder of its points."""
        return self.folder / "data/store"

    def enter(self) -> str:
        """Make a user and return the token of a session; before the start."""
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        with closing(Database(self.database)) as database:
            upgrade(database.engine)
            with database.engine.connect() as tx, tx.begin():
                password = Passwords().make("a password of nobody")
                accounts.add(tx, name="bench", password=password, role="admin", at=wall_ms(), by="bench")
                user = accounts.find(tx, "bench")
                if user is None:
                    raise SystemExit("the user that was made is not there")
                return sessions.start(tx, user.id, wall_ms())

    @contextmanager
    def running(self) -> Iterator[float]:
        """Run it until the block ends; yields the seconds until it listened."""
        command = [sys.executable, "-m", "server.cli.main", "server", "--settings", str(self.folder / "server.toml")]
        begun = time.monotonic()
        with daemons.started(command, self.folder / "log", ROOT, _DRAIN) as self.pid:
            wait_for(self._answers, "the centre", self.folder / "log", pid=self.pid)
            yield time.monotonic() - begun

    @contextmanager
    def backing_up(self) -> Iterator[list[float]]:
        """Make one backup after another until the block ends; yields how long each took, seconds."""
        took: list[float] = []
        end = threading.Event()
        target = self.folder / "backup.tar"
        settings = str(self.folder / "server.toml")
        command = [sys.executable, "-m", "server.cli.main", "backup", "--settings", settings, "--to", str(target)]

        def make() -> None:
            while not end.is_set():
                begun = time.monotonic()
                subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
                took.append(time.monotonic() - begun)
                target.unlink()

        thread = threading.Thread(target=make)
        thread.start()
        try:
            yield took
        finally:
            end.set()
            thread.join()

    def _answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/ping", timeout=5):
            return True

    def cpu(self) -> float:
        """Return the CPU seconds of all its processes so far."""
        return daemons.cpu(self.pid)

    def memory(self) -> float:
        """Return the resident memory of all its processes, MB."""
        return daemons.look(self.pid).rss


def wait_for(ready: Callable[[], bool], name: str, log: Path, *, pid: int = 0, pause: float = 0.02) -> None:
    """Wait until ``ready`` returns True without an OSError; SystemExit with the end of the log when it never does."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not (pid and _ended(pid)):
        with suppress(OSError):
            if ready():
                return
        time.sleep(pause)
    raise SystemExit(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _ended(pid: int) -> bool:
    with suppress(OSError):
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def listens(port: int) -> bool:
    """Return whether something listens on a port of 127.0.0.1; OSError when not."""
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return True


@contextmanager
def web_server(folder: Path) -> Iterator[Web]:
    """Run nginx with one page and a log of when it was asked."""
    port, conf = free_port(), folder / "nginx.conf"
    folder.mkdir(exist_ok=True)
    conf.write_text(_NGINX.format(folder=folder, port=port))
    nginx = program("nginx", "nginx-light")
    with daemons.started([nginx, "-c", str(conf)], folder / "nginx.log"):
        wait_for(lambda: listens(port), "nginx", folder / "nginx.log")
        yield Web(f"http://127.0.0.1:{port}/", folder / "access.log")


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """Run a new PostgreSQL as it comes (with fsync); yields the URL of an empty database, and what gives its CPU seconds so far."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not binaries:
        raise Missing("PostgreSQL: apt-get install postgresql")
    folder.mkdir()
    port, postgres = free_port(), binaries[-1]
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())  # it refuses to run as root
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    switch = [] if os.geteuid() else ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    make = [*switch, str(postgres.with_name("initdb")), "-D", str(folder / "data"), "-U", "pantau", "-E", "UTF8"]
    subprocess.run([*make, "-A", "trust"], check=True, capture_output=True, cwd=folder)
    command = [*switch, str(postgres), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
    with daemons.started([*command, "-h", "127.0.0.1"], folder.with_suffix(".log")) as pid:
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "pantau"]
        create = [str(postgres.with_name("createdb")), *where, "pantau"]
        wait_for(
            lambda: subprocess.run(create, capture_output=True).returncode == 0,
            "PostgreSQL",
            folder.with_suffix(".log"),
            pid=pid,
            pause=0.2,
        )
        yield f"postgresql://pantau@127.0.0.1:{port}/pantau", partial(_family_cpu, pid)


def _family_cpu(pid: int) -> float:
    """Return the CPU seconds of a process and those that came from it and live: PostgreSQL's have sessions of their own."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    spent = 0.0
    for member in family:
        with suppress(OSError):
            spent += time.clock_gettime((~member.pid << 3) | 2)  # clock_getcpuclockid(3)
    return spent


@contextmanager
def blackbox(folder: Path) -> Iterator[tuple[str, int]]:
    """Run Prometheus's blackbox_exporter; yields the start of the address that makes it look, and the number of its session."""
    port, config = free_port(), folder / "blackbox.yml"
    config.write_text("modules:\n  page:\n    prober: http\n    timeout: 5s\n")
    command = [program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter"), f"--config.file={config}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with daemons.started(command, folder / "blackbox.log") as pid:
        wait_for(lambda: listens(port), "blackbox_exporter", folder / "blackbox.log", pid=pid)
        yield f"http://127.0.0.1:{port}/probe?module=page&target=", pid


@contextmanager
def load(*arguments: str, log: Path) -> Iterator[None]:
    """Run ``centre_load.py``, which asks and writes down what it got in ``log``, until the block ends."""
    command = [sys.executable, str(Path(__file__).with_name("centre_load.py")), *arguments, str(log)]
    with daemons.started(command, log.with_suffix(".err")):
        yield
