"""Who guesses one-time tokens has to wait, and nobody else."""

import ipaddress

import pytest

from server.enrolment.guesses import WINDOW, Guesses


class Elapsed:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def elapsed():
    return Elapsed()


def fail(guesses, address, times=10):
    for _ in range(times):
        guesses.failed(address)


def test_ten_failures_in_a_minute_make_an_address_wait_until_they_are_a_minute_old(elapsed):
    guesses = Guesses(elapsed)
    fail(guesses, "10.0.0.1", 9)
    assert not guesses.too_many("10.0.0.1")
    elapsed.seconds += 30
    guesses.failed("10.0.0.1")
    assert guesses.too_many("10.0.0.1")
    elapsed.seconds += WINDOW - 29
    assert not guesses.too_many("10.0.0.1")


def test_one_attacker_with_many_addresses_closes_the_door_for_nobody_else(elapsed):
    guesses = Guesses(elapsed)
    for number in range(3000):
        fail(guesses, str(ipaddress.ip_address("10.1.0.0") + number))
        fail(guesses, str(ipaddress.ip_address("2001:db8::") + (number << 64)))
    assert guesses.too_many("10.1.0.7")
    assert not guesses.too_many("10.2.0.1")
    assert not guesses.too_many("2001:db9::1")


def test_addresses_of_one_network_of_ipv6_are_one_guesser(elapsed):
    guesses = Guesses(elapsed)
    for number in range(10):
        guesses.failed(f"2001:db8:0:1::{number:x}")
    assert guesses.too_many("2001:db8:0:1:ffff::9")
    assert not guesses.too_many("2001:db8:0:2::1")


def test_memory_is_bounded_whatever_number_of_addresses_fails(elapsed):
    guesses = Guesses(elapsed, most=100)
    for number in range(1000):
        fail(guesses, f"10.0.{number // 250}.{number % 250}", 20)
        assert len(guesses) <= 100
    assert guesses.too_many("10.0.3.249")
    elapsed.seconds += WINDOW + 1
    guesses.failed("10.9.0.1")
    assert len(guesses) == 1
