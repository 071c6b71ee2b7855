"""Runs ``make run`` up to the first page that it answers, then stops it as Ctrl-C does. Red when any of that fails."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from typing import IO

_SETUP_SECONDS = 900  # with what pip fetches
_STOP_SECONDS = 60
_ADDRESS = re.compile(r"Dashboard\s+(http://\S+)")


def main() -> int:
    """Return 0 when the page came and the stop was clean."""
    # a session of its own: Ctrl-C goes to all that belong to it, as in a terminal
    run = subprocess.Popen(["make", "run"], stdout=subprocess.PIPE, text=True, start_new_session=True)
    alarm = threading.Timer(_SETUP_SECONDS, os.killpg, (run.pid, signal.SIGKILL))
    alarm.start()
    try:
        address = _address(run.stdout)
        page = _fetch(address) if address else ""
        if page:
            os.killpg(run.pid, signal.SIGINT)
            run.wait(_STOP_SECONDS)
    finally:
        alarm.cancel()
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    clean = run.wait() in {0, -signal.SIGINT} and not _answers(address)
    print(f"first page: {address or 'no address'}, {len(page)} characters; make run ended with {run.returncode}")
    if not clean:
        print("the stop was not clean: see run/*.log", file=sys.stderr)
    return 0 if "<title>" in page and clean else 1


def _address(told: IO[str] | None) -> str:
    for line in told or ():
        print(line, end="", flush=True)
        if found := _ADDRESS.search(line):
            return found[1]
    return ""


def _fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def _answers(address: str) -> bool:
    try:
        _fetch(address)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
