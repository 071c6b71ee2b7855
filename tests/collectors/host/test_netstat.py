"""Connections by state: netlink and the kernel's counts agree with what /proc/net/tcp lists."""

import asyncio
import resource
import socket
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from collectors.host import Roots
from collectors.host.netstat import Netstat, Options, _listed
from collectors.host.sources import sockdiag

pytestmark = pytest.mark.usefixtures("linux")
FEW = 2**12 - 2 - (1 << 1) - (1 << 6)


@pytest.fixture
def connections():
    """Some connections in several states: established, half closed on either side, waiting."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        try:
            six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        except OSError:
            six = None  # this machine has no IPv6

        def connect(server=listener):
            near = stack.enter_context(socket.create_connection(server.getsockname()[:2]))
            far, _ = server.accept()
            return near, stack.enter_context(far)

        for _ in range(5):
            connect()
        if six:
            connect(six)
        for _ in range(3):  # the near side in FIN_WAIT2, the far one in CLOSE_WAIT
            connect()[0].shutdown(socket.SHUT_WR)
        for _ in range(2):  # FIN_WAIT2 let go by its program
            connect()[0].close()
        for _ in range(4):  # TIME_WAIT
            near, far = connect()
            near.close()
            far.close()
        yield


async def test_netlink_counts_what_proc_lists(connections):
    def refuse(_states):
        raise PermissionError("no netlink here")

    ways = Netstat(Options(), Roots()), Netstat(Options(), Roots(), refuse)
    end = time.monotonic() + 40
    while True:  # other programs of this machine open and close connections, too
        (quick,), (listed,) = [await way.collect(0) for way in ways]
        if quick == listed or time.monotonic() > end:
            break
        time.sleep(0.01)
    assert quick == listed
    assert quick.fields["tcp_close_wait"] >= 5
    assert quick.fields["tcp_established"] >= 10
    assert quick.fields["tcp_time_wait"] >= 4
    assert quick.fields["tcp_listen"] >= 1


async def test_a_socket_that_its_program_let_go_counts_as_lingering(connections, until):
    await until(lambda: asyncio.to_thread(lambda: sockdiag.states(FEW)[sockdiag.LINGERING] >= 2))


async def test_it_does_not_look_at_the_many(connections):
    asked = []

    def ask(states):
        asked.append(states)
        return Counter()

    await Netstat(Options(), Roots(), ask).collect(0)
    assert asked == [FEW]


async def test_two_thousand_connections_cost_next_to_nothing():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5000:
        pytest.skip("needs a limit of 5,000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2000))
            for _ in range(2000):
                stack.enter_context(socket.create_connection(listener.getsockname()))
                stack.enter_context(listener.accept()[0])
            collector = Netstat(Options(), Roots())
            costs, walks = [], []
            for _ in range(5):
                start = time.process_time()
                (point,) = await collector.collect(0)
                middle = time.process_time()
                assert (await asyncio.to_thread(_listed, "/proc"))[1] >= 4000
                costs.append(middle - start)
                walks.append(time.process_time() - middle)
            assert point.fields["tcp_established"] >= 4000
            assert (
                min(costs) < min(walks) / 2
            )  # who walks through all of them takes as long; a busy machine blurs what is closer
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
