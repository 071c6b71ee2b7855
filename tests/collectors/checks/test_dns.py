"""The dns check against bind, and against servers that say nothing or nonsense."""

import asyncio
import time


async def test_it_compares_each_answer(subtests, run, bind, cases):
    for case in cases("dns"):
        with subtests.test(case.get("name", str(case["options"]))):
            result = await run("dns", server="127.0.0.1", port=bind, **case["options"])
            assert (result.status, result.reason) == (case["status"], case["reason"]), result
            assert case.get("detail", "") in result.detail
            assert case.get("facts", {}).items() <= dict(result.facts).items(), result.facts


async def test_the_server_may_have_a_name(run, bind):
    result = await run("dns", name="simpus.uji.test", server="localhost", port=bind)
    assert (result.status, result.facts["server"]) == ("up", "127.0.0.1")
    assert list(result.phases) == ["dns", "first_byte"]


async def test_a_silent_server_fails_in_time(run, silent_udp):
    before = time.perf_counter()
    result = await run("dns", timeout=0.5, name="simpus.uji.test", server="127.0.0.1", port=silent_udp)
    assert (result.status, result.reason) == ("down", "timeout")
    assert time.perf_counter() - before < 15


async def test_a_closed_port_is_refused_over_udp_and_tcp(run):
    for transport in ("udp", "tcp"):
        result = await run("dns", name="a.example", server="127.0.0.1", port=1, transport=transport)
        assert (result.status, result.reason) == ("down", "refused"), result


class Once(asyncio.DatagramProtocol):
    """Answers from a list, one entry a question; None is silence."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer is not None:
            self.transport.sendto(answer(data), address)


async def _serve(answers):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Once(answers), ("127.0.0.1", 0))
    return transport, protocol, transport.get_extra_info("sockname")[1]


async def test_a_reply_that_is_not_dns_is_a_broken_protocol(run):
    transport, _, port = await _serve([lambda _: b"halo"])
    result = await run("dns", name="a.example", server="127.0.0.1", port=port)
    transport.close()
    assert (result.status, result.reason) == ("down", "protocol")


async def test_one_lost_packet_is_no_outage(run):
    def refuse(question):
        return question[:2] + b"\x81\x05" + question[4:]

    transport, server, port = await _serve([None, refuse])
    result = await run("dns", name="a.example", server="127.0.0.1", port=port, rcode="REFUSED")
    transport.close()
    assert (result.status, server.asked) == ("up", 2), result
    assert result.took > 1.5
