"""Names to addresses: the hosts file, real name servers, and what is said when they fail."""

import asyncio
import errno
import socket
import threading

import pytest

from collectors.checks.engines.failure import Failure
from collectors.checks.engines.resolver import Resolver, _taking_turns, parse_hosts, routed


@pytest.fixture
def resolver(tmp_path):
    def make(port=53, hosts="", resolv_conf="nameserver 127.0.0.1\n"):
        (tmp_path / "hosts").write_text(hosts)
        (tmp_path / "resolv.conf").write_text(resolv_conf)
        return Resolver(hosts=tmp_path / "hosts", resolv_conf=tmp_path / "resolv.conf", port=port)

    return make


def test_the_hosts_file_is_read_as_the_manual_says():
    text = "127.0.0.1 localhost Lokal # comment\n\n# 10.0.0.1 no\n::1 localhost\nnot-an-address x\n10.0.0.2\ta\tb\n"
    assert parse_hosts(text) == {
        "localhost": ["127.0.0.1", "::1"],
        "lokal": ["127.0.0.1"],
        "a": ["10.0.0.2"],
        "b": ["10.0.0.2"],
    }


def test_families_take_turns_and_ipv6_begins():
    assert _taking_turns(["1.1.1.1", "2.2.2.2", "::1"]) == ["::1", "1.1.1.1", "2.2.2.2"]


def test_an_address_without_a_route_gives_way(monkeypatch):
    class NoIpv6(socket.socket):
        def connect(self, address):
            if self.family == socket.AF_INET6:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")
            super().connect(address)

    assert routed(["127.0.0.2", "127.0.0.1"]) == "127.0.0.2"
    monkeypatch.setattr(socket, "socket", NoIpv6)
    assert routed(["2001:db8::1", "127.0.0.1"]) == "127.0.0.1"
    assert routed(["2001:db8::1"]) == "2001:db8::1"


async def test_an_address_needs_no_server(resolver):
    assert await resolver(port=1).addresses("192.0.2.7", "any", 1.0) == ["192.0.2.7"]


async def test_the_hosts_file_goes_before_the_name_servers(resolver):
    made = resolver(port=1, hosts="10.1.2.3 simpus.uji.test\n")
    assert await made.addresses("SIMPUS.uji.test.", "any", 1.0) == ["10.1.2.3"]


async def test_localhost_is_known_without_a_hosts_file(resolver):
    assert await resolver(port=1).addresses("localhost", "4", 1.0) == ["127.0.0.1"]


async def test_name_servers_are_asked_for_both_families(resolver, bind):
    made = resolver(bind)
    assert await made.addresses("dua.uji.test", "any", 20.0) == ["::1", "127.0.0.1"]
    assert await made.addresses("dua.uji.test", "4", 20.0) == ["127.0.0.1"]
    assert await made.addresses("enam.uji.test", "any", 20.0) == ["::1"]
    assert sorted(await made.addresses("www.uji.test", "any", 20.0)) == ["127.0.0.1", "127.0.0.2"]


async def test_a_name_of_one_label_is_tried_in_the_search_domains(resolver, bind):
    made = resolver(bind, resolv_conf="nameserver 127.0.0.1\nsearch uji.test\n")
    assert "127.0.0.1" in await made.addresses("simpus", "any", 20.0)
    with pytest.raises(Failure) as failed:
        await made.addresses("simpus.tiada", "any", 20.0)
    assert failed.value.reason == "resolver_failed"


@pytest.mark.parametrize(
    ("host", "ip", "reason", "status"),
    [
        ("tiada.uji.test", "any", "name_not_found", "down"),
        ("enam.uji.test", "4", "name_not_found", "down"),
        ("www.rusak.test", "any", "resolver_failed", "down"),
        ("example.id", "any", "resolver_failed", "unknown"),
    ],
)
async def test_what_the_servers_say_is_told_apart(resolver, bind, host, ip, reason, status):
    with pytest.raises(Failure) as failed:
        await resolver(bind).addresses(host, ip, 20.0)
    assert (failed.value.reason, failed.value.status) == (reason, status)


async def test_name_servers_that_are_not_there_are_our_fault(resolver):
    with pytest.raises(Failure) as failed:
        await resolver(1).addresses("a.example", "any", 1.0)
    assert (failed.value.reason, failed.value.status) == ("resolver_failed", "unknown")


async def test_silent_name_servers_are_our_fault_and_not_the_targets(resolver, silent_udp):
    with pytest.raises(Failure) as failed:
        await resolver(silent_udp).addresses("a.example", "any", 1.0)
    assert (failed.value.reason, failed.value.status) == ("resolver_failed", "unknown")


async def test_servers_that_answer_all_but_this_name_leave_it_down(resolver):
    class OnlyTheRoot(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            if data[12] == 0:
                self.transport.sendto(data[:2] + b"\x81\x80" + data[4:], address)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(OnlyTheRoot, ("127.0.0.1", 0))
    with pytest.raises(Failure) as failed:
        await resolver(transport.get_extra_info("sockname")[1]).addresses("a.example", "any", 3.0)
    transport.close()
    assert (failed.value.reason, failed.value.status) == ("resolver_failed", "down")


async def test_a_change_of_the_files_is_seen_later_and_off_the_loop(resolver, monkeypatch):
    made = resolver(port=1, hosts="10.0.0.1 a.example\n")
    assert await made.addresses("a.example", "any", 1.0) == ["10.0.0.1"]
    made._files[0].write_text("10.0.0.2 a.example\n")
    assert await made.addresses("a.example", "any", 1.0) == ["10.0.0.1"]
    made._read_at -= 31
    assert await made.addresses("a.example", "any", 1.0) == ["10.0.0.2"]


async def test_giving_up_leaves_neither_thread_nor_socket_behind(run, tmp_path, resolver, silent_udp, build, now_ms):
    from collectors.checks.engines.dial import Dialer

    check = build("tcp", timeout=3.0, host="a.example", port=80)
    check._dialer = Dialer("any", resolver(silent_udp))
    before = threading.active_count()
    result = await check.run(now_ms)
    assert (result.status, result.reason) == ("unknown", "resolver_failed")
    assert threading.active_count() <= before + 1
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others
    assert socket.getdefaulttimeout() is None
