"""A Debian machine for tests: an empty root with systemd as its process 1, in namespaces of its own, with no network but loopback."""

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from parts import require, wait_for

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_SECONDS = 60
_DEVICES = "null zero full random urandom tty"

_GROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup")

# Goes into a group of processes of its own, so that those which systemd makes are below it.
_GROUP = f"""
for place in {" ".join(_GROUPS)}; do
    mkdir "$place/pantau-test-$$" && echo 0 >"$place/pantau-test-$$/cgroup.procs" && break
done 2>/dev/null
exec "$@"
"""

# Run in new namespaces; "$1" is the root, "$2" says whether the groups of processes are of the first (v1) or second kind.
_BOOT = f"""
set -e
root=$1 groups=$2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ "$groups" = v1 ]; then
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in {_DEVICES}; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
umount -l .outside
# mounts that systemd makes for a service, its credentials, are seen by the service only where this is shared
mount --make-rshared /
exec env -i container=test PATH={_PATH} /lib/systemd/systemd --system --show-status=no 2>/dev/null
"""


class Machine:
    """A root that runs like a machine of its own from ``boot`` to ``halt``; ``folder`` is its root as this machine sees it.

    What lies on its ``/tmp``, ``/run`` and ``/dev`` is not seen in ``folder``.
    """

    def __init__(self, folder: Path, name: str = "centre") -> None:
        self.folder = folder
        self.name = name
        self._started: subprocess.Popen | None = None
        self._first = 0  # the process id of its systemd

    def boot(self, *, beside: "Machine | None" = None) -> None:
        """Start systemd and wait until it is up, on a network of its own or on that of another; skip where that is not allowed here."""
        for tool in ("unshare", "nsenter", "pivot_root"):
            require(tool, "util-linux")
        (self.folder / "etc/hostname").write_text(f"{self.name}\n")
        kind = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
        spaces = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child"]
        network = ["--net"] if beside is None else [f"--net=/proc/{beside._first}/ns/net"]
        enter = ["unshare", *spaces, *network] if beside is None else ["nsenter", *network, "unshare", *spaces]
        self._started = subprocess.Popen(
            ["bash", "-c", _GROUP, "group", *enter, "bash", "-c", _BOOT, "boot", self.folder, kind],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(self._is_up, _BOOT_SECONDS, "systemd")
        except AssertionError:
            ended = self._started.poll() is not None
            told = self._started.stdout.read().decode(errors="replace") if ended else ""
            self.halt()
            if ended:
                pytest.skip(f"this machine starts no systemd in a root of its own: {told[-300:]}")
            raise

    def _is_up(self) -> bool:
        if self._started.poll() is not None:
            raise AssertionError("systemd ended")
        self._first = self._first or _systemd_below(self._started.pid)
        if not self._first:
            return False
        told = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return told in {"running", "degraded"}

    def halt(self) -> None:
        """End every process of the machine at once, as when its power goes."""
        if self._started is not None:
            self._started.kill()  # its first process, and with it all, goes with the one that started it
            self._started.wait()
            wait_for(lambda: _disbanded(self._started.pid), 20, "the end of the machine")
            self._started.stdout.close()

    def run(self, *command, check=True, timeout=200, **more) -> subprocess.CompletedProcess:
        """Run a command in the machine as root; outputs are text."""
        return subprocess.run(
            self._inside(*command),
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
            env=_environment(),
            **more,
        )

    def journal(self) -> str:
        """Return the last lines of its journal."""
        return self.run("journalctl", "--no-pager", "--lines=25", check=False).stdout

    def type(self, script: str, answers: dict[str, str], *, timeout=300) -> tuple[int, str]:
        """Run a script of bash on a terminal, as somebody types it, and answer what is asked; return exit code and what was seen.

        ``answers`` has the end of a question and what is typed then; no echo is expected.
        """
        shown, terminal = pty.openpty()
        try:
            process = subprocess.Popen(
                self._inside("bash", "-euc", script),
                stdin=terminal, stdout=terminal, stderr=terminal, env=_environment(), start_new_session=True,
            )  # fmt: skip
            os.close(terminal)
            return self._converse(process, shown, answers, time.monotonic() + timeout)
        finally:
            os.close(shown)

    @staticmethod
    def _converse(process, shown, answers, end) -> tuple[int, str]:
        seen, answered = "", 0
        while time.monotonic() < end:
            ready, _, _ = select.select([shown], [], [], 0.2)
            try:
                piece = os.read(shown, 65536) if ready else b""
            except OSError:  # the other side is closed
                break
            if ready and not piece:
                break
            seen += piece.decode(errors="replace").replace("\r\n", "\n")
            for question, answer in answers.items():
                if seen[answered:].endswith(question):
                    os.write(shown, f"{answer}\n".encode())
                    answered = len(seen)
            if not ready and process.poll() is not None:
                break
        if process.poll() is None and time.monotonic() >= end:
            process.send_signal(signal.SIGKILL)
            seen += "\n(it did not end)"
        return process.wait(), seen

    def _inside(self, *command) -> list[str]:
        return ["nsenter", "--target", str(self._first), "--all", *map(str, command)]


def _systemd_below(process: int) -> int:
    """Return the id of a systemd that a process started, or 0."""
    try:
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
    except OSError:  # one that ended meanwhile
        pass
    return 0


def _disbanded(process: int) -> bool:
    """Remove the groups of processes that are left of a machine; tell whether all are gone."""
    try:
        for place in _GROUPS:
            for folder, _, _ in os.walk(f"{place}/pantau-test-{process}", topdown=False):
                Path(folder).rmdir()
    except OSError:  # the kernel is not done with one yet
        return False
    return True


def _environment() -> dict[str, str]:
    return {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
