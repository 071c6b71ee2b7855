"""Options that cannot work are refused when a check is built, in words that name the option."""

import re

import pytest

from collectors.checks import CHECKS
from configs.plugin import find


def test_each_bad_option_is_refused_with_its_words(subtests, build, cases):
    for case in cases("bad"):
        with subtests.test(case["error"]):
            with pytest.raises(ValueError, match=re.escape(case["error"])) as refused:
                build(case["type"], **case["options"])
            assert "rahasia-benar" not in str(refused.value)


@pytest.mark.parametrize("name", CHECKS)
def test_every_option_is_described(name):
    _, options = find("check", name, CHECKS)
    missing = [field for field in options.__struct_fields__ if f"``{field}``" not in options.__doc__]
    assert not missing


def test_building_resolves_and_connects_nothing(build, monkeypatch):
    import socket

    def forbidden(*args, **kwargs):
        raise AssertionError("touched the network")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    build("http", url="https://simpus.example.id/")
    build("tls", host="simpus.example.id")
    build("tcp", host="simpus.example.id", port=443)
    build("dns", name="simpus.example.id")
    build("icmp", host="simpus.example.id")


def test_checks_of_one_authority_share_its_context(build):
    one, two = (build("http", url=f"https://{name}.example.id/") for name in "ab")
    assert one._tls is two._tls
