"""Names that nobody knows, that change, or whose resolver hangs."""

import socket
import threading
import time
import zlib

import pytest
from parts import wait_for

from agent.post import Endpoint, Options, Unreachable
from agent.resolve import Names
from configs.units import Duration

BODY = zlib.compress(b"m n=1i 1\n", wbits=31)


class Resolver:
    """Answers for the name ``centre`` as ``mood`` says: a list of addresses, an error, or an event to hang on."""

    def __init__(self, monkeypatch):
        self.mood = []
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr("agent.resolve.socket.getaddrinfo", self)

    def __call__(self, host, port, **more):
        if more["flags"]:
            return self._real(host, port, **more)
        self.asked += 1
        mood = self.mood
        if isinstance(mood, threading.Event):
            mood.wait(60)
            mood = socket.gaierror(-3, "Temporary failure in name resolution")
        if isinstance(mood, Exception):
            raise mood
        kinds = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(kinds[6 if ":" in one else 4], socket.SOCK_STREAM, 6, "", (one, port)) for one in mood]


@pytest.fixture
def resolver(monkeypatch):
    found = Resolver(monkeypatch)
    yield found
    if isinstance(found.mood, threading.Event):
        found.mood.set()


@pytest.fixture
def resolving():
    """How many lookups of this test are under way; one of a test before it may still wait for this machine's own resolver."""
    others = set(threading.enumerate())
    return lambda: sum(thread.name == "resolve" for thread in set(threading.enumerate()) - others)


def test_a_resolver_that_hangs_costs_one_thread_and_only_the_time_it_is_given(resolver, resolving):
    resolver.mood = threading.Event()
    names = Names()
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(OSError, match="nobody told the address of centre in time"):
            names.find("centre", 80, 0.1)
    assert time.monotonic() - began < 10
    assert (resolver.asked, resolving()) == (1, 1)
    resolver.mood.set()
    wait_for(lambda: not resolving(), 5, "the end of the lookup")
    resolver.mood = ["127.0.0.1"]
    with pytest.raises(OSError, match="Temporary failure"):  # the answer of the question that hung
        names.find("centre", 80, 60)
    assert names.find("centre", 80, 60)[0].address == ("127.0.0.1", 80)


@pytest.fixture
def endpoint(centre):
    found = Endpoint(Options(url=f"http://centre:{centre.port}", timeout=Duration(6)))
    yield found
    found.close()


def test_with_a_hanging_resolver_lines_go_on_to_the_address_that_worked(resolver, centre, endpoint):
    resolver.mood = ["127.0.0.1"]
    assert endpoint.post(BODY).status == 204
    centre.hang_up()
    resolver.mood = threading.Event()
    assert endpoint.post(BODY).status == 204


def test_a_centre_that_moved_is_found_at_the_next_connection(resolver, centre, endpoint):
    resolver.mood = ["127.0.0.2"]  # nobody listens there
    with pytest.raises(Unreachable, match="Connection refused"):
        endpoint.post(BODY)
    resolver.mood = ["127.0.0.1"]
    assert endpoint.post(BODY).status == 204


@pytest.mark.parametrize("addresses", [["::1", "127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
def test_of_several_addresses_one_that_answers_is_enough(resolver, centre, endpoint, addresses):
    resolver.mood = addresses
    assert endpoint.post(BODY).status == 204


def test_an_address_is_no_name_and_no_thread_is_started_for_it(resolver):
    for text in ("127.0.0.1", "::1"):
        assert Names().find(text, 80, 1)[0].address[:2] == (text, 80)
    assert resolver.asked == 0


def test_a_name_that_cannot_be_one_is_an_error_like_any_other():
    with pytest.raises(OSError, match=r"label|name"):
        Names().find("x" * 70 + ".example", 80, 5)
