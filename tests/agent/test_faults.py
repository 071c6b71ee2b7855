"""Faults of the host and of collectors, with the agent as a process: frozen, leaking, stopped, out of space."""

import itertools
import signal
import socket
import time
from pathlib import Path

import pytest
from parts import require, wait_for

FROZEN = """
import asyncio, ctypes, pathlib
from mine import Counter, Options, Point

class Frozen(Counter):
    '''A C call that keeps the interpreter's lock: the whole process stands still.'''
    async def collect(self, now):
        flag = pathlib.Path(__file__).with_name("freeze")
        if flag.exists():
            flag.unlink()
            ctypes.PyDLL(None).usleep(2_500_000)
        return []

class Leaking(Counter):
    kept = []
    async def collect(self, now):
        self.kept.append(bytearray(60_000_000))
        return [Point("leaking", {}, {"n": len(self.kept)}, now)]
"""


@pytest.fixture
def heard(agent, tmp_path):
    """What a service manager hears, as (when, what); ``until(what)`` waits for it."""
    path = tmp_path / "notify"
    (agent.folder / "bad.py").write_text(FROZEN)
    agent.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)

        def until(wanted):
            began = time.monotonic()
            while (word := sock.recv(100).decode()) != wanted:
                assert time.monotonic() - began < 60, word
            return time.monotonic()

        yield until


def test_a_process_that_is_frozen_is_not_said_to_live(agent, centre, heard):
    """Simulated service manager: it would end the agent, as the word that it waits for within 0.6 s does not come."""
    agent.write(collectors="[collectors.frozen]\ntype = 'bad:Frozen'\n[collectors.counter]\ntype = 'mine:Counter'\n")
    agent.start()
    heard("READY=1")
    began = last = heard("WATCHDOG=1")
    (agent.folder / "freeze").touch()
    gap = 0.0
    while gap < 1.2 and last < began + 20:
        now = heard("WATCHDOG=1")
        gap, last = max(gap, now - last), now
    assert gap > 1.2
    heard("WATCHDOG=1")  # and after it, it lives again
    assert agent.end()[0] == 0


def test_a_collector_that_eats_memory_fails_alone(agent, centre, heard):
    """Simulated limit of memory (RLIMIT_AS; the unit has MemoryMax): what the collector asks for is refused."""
    agent.prefix = [require("prlimit", "util-linux"), "--as=700000000"]
    agent.write(collectors="[collectors.leaking]\ntype = 'bad:Leaking'\n[collectors.counter]\ntype = 'mine:Counter'\n")
    agent.start()
    wait_for(lambda: "collector leaking failed" in agent.log.read_text(), 15, "the failure")
    before = len(centre.lines)
    wait_for(
        lambda: sum(line.startswith(b"counter,") for line in centre.lines[before:]) >= 3, 10, "the other collector"
    )
    assert "MemoryError" in agent.log.read_text()
    assert agent.end()[0] == 0


def test_an_agent_that_gets_no_processor_counts_its_turns_and_makes_up_for_none(agent, centre):
    """Simulated noisy neighbour: the process is stopped for two seconds."""
    agent.write(internal="200ms")
    agent.start()
    wait_for(lambda: centre.lines, 10, "points")
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    before = len(centre.lines)
    agent.process.send_signal(signal.SIGCONT)
    wait_for(lambda: missed(centre.lines[before:]) >= 8, 10, "the count")
    times = sorted(int(line.rsplit(b" ", 1)[1]) for line in set(centre.lines) if line.startswith(b"counter,"))
    # the turn that was late, then those of the wall clock, each once: no burst; a turn may come a tenth of an interval early
    turns = [(stamp + 20_000_000) // 200_000_000 for stamp in times]
    assert len(turns) - len(set(turns)) <= 1
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) >= 1_800_000_000
    assert agent.end()[0] == 0


def missed(lines):
    counts = [line.partition(b"missed=")[2].partition(b"i")[0] for line in lines if b"input=counter" in line]
    return max((int(count) for count in counts if count), default=0)


@pytest.mark.parametrize("mood", ["hang", "gone"])
def test_sigterm_with_a_spool_that_is_full_and_no_centre_is_done_within_five_seconds(agent, centre, mood):
    if mood == "gone":
        centre.vanish()
    else:
        centre.mood = "hang"
    agent.write(collectors="[collectors.flood]\ntype = 'flood:Flood'\n")
    agent.file.write_text(
        agent.file.read_text().replace('min_free = "1MB"', 'min_free = "1MB"\n            max_size = "200kB"')
    )
    (agent.folder / "flood.py").write_text(
        "import os\nfrom mine import Counter, Options, Point\n"
        "class Flood(Counter):\n"
        "    async def collect(self, now):\n"
        "        return [Point('m', {'n': str(n)}, {'s': os.urandom(200).hex()}, now) for n in range(200)]\n"
    )
    agent.start()
    wait_for(lambda: agent.log.exists() and "the spool is at its bounds" in agent.log.read_text(), 15, "the full spool")
    code, took = agent.end()
    assert (code, took < 5) == (0, True)
    collected, delivered, dropped, quarantined, rejected, spooled = agent.tally()
    assert collected == delivered + dropped + spooled
    assert dropped > 0
    assert quarantined == rejected == 0
    assert agent.log.read_text().count("dropping the oldest") == 1


HANGING = """
import asyncio, os, time
from mine import Counter, Options, Point

class Hanging(Counter):
    '''As files on a dead file server, read in a thread.'''
    async def collect(self, now):
        await asyncio.to_thread(time.sleep, 600)
        return []

class Threaded(Counter):
    async def collect(self, now):
        return [Point("threaded", {"pid": str(await asyncio.to_thread(os.getpid))}, {"n": 1}, now)]
"""


def test_threads_that_hang_are_one_for_each_collector_and_the_others_go_on(agent, centre):
    (agent.folder / "hanging.py").write_text(HANGING)
    names = ["one", "two", "three", "four", "five", "six"]
    hanging = "".join(f"[collectors.{name}]\ntype = 'hanging:Hanging'\ntimeout = '100ms'\n" for name in names)
    agent.write(collectors=f"{hanging}[collectors.threaded]\ntype = 'hanging:Threaded'\n")
    agent.start()
    wait_for(lambda: agent.log.exists() and agent.log.read_text().count(" failed (next") >= 6, 15, "six that hang")
    for _ in range(4):
        agent.process.send_signal(signal.SIGHUP)
        time.sleep(0.6)
    before = len(centre.lines)
    wait_for(lambda: sum(line.startswith(b"threaded,") for line in centre.lines[before:]) >= 5, 10, "the other one")
    assert len(list(Path(f"/proc/{agent.process.pid}/task").iterdir())) < 6 + 4 + 6
    assert agent.end()[0] == 0
