"""Whose address a request has, behind proxies and without."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from server.edge.client_address import client_address, client_network


def request_from(peer, forwarded):
    headers = CIMultiDict([("X-Forwarded-For", line) for line in forwarded])
    return make_mocked_request("GET", "/", headers=headers).clone(remote=peer)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7"], "192.0.2.7"),  # what a client made up stands before what the proxy saw
        (["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["not an address"], "10.0.0.1"),
        (["192.0.2.7,"], "10.0.0.1"),
        (["2001:db8::7"], "2001:db8::7"),
    ],
)
def test_a_trusted_proxy_is_believed_as_far_as_the_first_stranger(forwarded, address):
    assert client_address(request_from("10.0.0.1", forwarded), ("10.0.0.1", "10.0.0.2")) == address


def test_nobody_else_is_believed():
    assert client_address(request_from("192.0.2.9", ["192.0.2.7"]), ("10.0.0.1",)) == "192.0.2.9"
    assert client_address(request_from("10.0.0.1", ["192.0.2.7"])) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_of_ipv6_the_network_is_one_client(address, network):
    assert client_network(address) == network
