"""A centre as the package lays it out: settings, and a data folder of a user of its own; commands as root, as it and as others."""

import datetime as dt
import os
import subprocess
import sys
import time
import urllib.request

from parts import daemon, free_port, require

CENTRE, OTHER, STRANGER = 61001, 61002, 61003
WIB = dt.timezone(dt.timedelta(hours=7))
HOUR = 3_600_000
SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
data = "{data}"
[ingest]
tokens = [{{ name = "test", token = {{ file = "token" }} }}]
[[check]]
id = "portal-tcp"
service = "portal"
type = "tcp"
host = "127.0.0.1"
port = {port}
interval = "1s"
timeout = "1s"
counts = false
"""
SERVICES = """
[[agency]]
id = "kominfo"
name = "Dinas Kominfo"
[[service]]
id = "portal"
name = "Portal"
agency = "kominfo"
registered = 2020-01-01
"""
PANTAU = [sys.executable, "-m", "server.cli.main"]


def as_user(uid):
    return [require("setpriv", "util-linux"), f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def in_own_view(script):
    """Return a command that runs a script of sh, then its arguments, in a mount namespace of its own."""
    return [
        require("unshare", "util-linux"),
        "-m",
        "--propagation",
        "private",
        "sh",
        "-ec",
        f'{script}; exec "$@"',
        "sh",
    ]


class House:
    """A folder with settings and ``data``; ``data`` is of the user ``CENTRE`` and closed to others."""

    def __init__(self, folder, name="data"):
        self.folder, self.data, self.port = folder, folder / name, free_port()
        self.settings = folder / f"{name}.toml"
        self.settings.write_text(SETTINGS.format(port=self.port, data=name))
        (folder / "services.toml").write_text(SERVICES)
        (folder / "token").write_text("made-up-token")
        self.log = folder / f"{name}.log"

    def make(self, uid):
        self.data.mkdir(mode=0o700)
        os.chown(self.data, uid, uid)

    def centre(self, *prefix, uid=CENTRE):
        command = [*prefix, *as_user(uid), *PANTAU, "server", "--settings", self.settings]
        return daemon(command, port=self.port, log=self.log, seconds=60, cwd=self.folder)

    def run(self, *words, prefix=(), cwd=None):
        """Run a command of ``pantau``; return its exit code, output and errors."""
        command = [*map(str, prefix), *PANTAU, *map(str, words), "--settings", str(self.settings)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd or self.folder)
        return ended.returncode, ended.stdout, ended.stderr

    def write(self, number):
        at = time.time_ns() - 10**9 * 3600 + number * 10**7
        lines = "\n".join(f"cpu,host=h{host} f={number}.5,g={host}i {at}" for host in range(200))
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/write?org=pantau&bucket=pantau",
            data=lines.encode(),
            headers={"Authorization": "Token made-up-token"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status


def last_month():
    return dt.datetime.fromtimestamp(time.time(), WIB).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    ) - dt.timedelta(days=1)


def month_start():
    return int(last_month().replace(day=1).timestamp() * 1000)
