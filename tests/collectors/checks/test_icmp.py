"""The icmp check: over whatever socket this system allows, and honest where it allows none."""

import icmplib
import pytest

from collectors.checks import icmp


def _allowed():
    for privileged in (False, True):
        try:
            icmplib.ICMPv4Socket(privileged=privileged).close()
        except icmplib.SocketPermissionError:
            continue
        return True
    return False


@pytest.fixture
def _may_ping():
    if not _allowed():
        pytest.skip("no ICMP socket here: widen net.ipv4.ping_group_range or run with CAP_NET_RAW")


FAST = {"count": 3, "interval": "20ms", "wait": "4s"}


@pytest.mark.usefixtures("_may_ping")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_every_reply_is_counted_and_timed(run, host):
    result = await run("icmp", host=host, ip="4", **FAST)
    facts = result.facts
    assert (result.status, facts["sent"], facts["received"], facts["loss"]) == ("up", 3, 3, 0.0)
    assert 0 < facts["rtt_min"] <= facts["rtt_avg"] <= facts["rtt_max"] < 4
    assert facts["jitter"] >= 0
    assert result.took == result.phases["first_byte"] == facts["rtt_avg"]


@pytest.mark.usefixtures("_may_ping")
async def test_two_at_once_do_not_take_each_others_replies(build, now_ms):
    import asyncio

    checks = [build("icmp", host=f"127.0.0.{number}", **FAST) for number in (1, 2, 3)]
    results = await asyncio.gather(*(check.run(now_ms) for check in checks))
    assert [result.facts["received"] for result in results] == [3, 3, 3]


class Lossy(icmp._Pings):
    """Our own wrapper with some replies thrown away."""

    lost = 0

    async def run(self, count, interval, wait, look):
        await super().run(count, interval, wait, look)
        for sequence in range(self.lost):
            self._trips.pop(sequence, None)


@pytest.mark.usefixtures("_may_ping")
@pytest.mark.parametrize(
    ("lost", "status", "reason"),
    [(0, "up", "ok"), (1, "degraded", "loss"), (3, "down", "loss"), (4, "down", "unreachable")],
)
async def test_loss_degrades_and_then_takes_down(run, monkeypatch, lost, status, reason):
    monkeypatch.setattr(Lossy, "lost", lost)
    monkeypatch.setattr(icmp, "_Pings", Lossy)
    options = {**FAST, "count": 4}
    result = await run("icmp", host="127.0.0.1", loss_degraded=25, loss_down=75, **options)
    assert (result.status, result.reason) == (status, reason)
    assert result.facts["received"] == 4 - lost
    assert (result.took is None) == (lost == 4)


@pytest.mark.usefixtures("_may_ping")
async def test_a_slow_average_is_degraded(run):
    result = await run("icmp", host="127.0.0.1", slow="0.001ms", **FAST)
    assert (result.status, result.reason) == ("degraded", "slow")


async def test_where_no_socket_is_permitted_nobody_can_tell(run, monkeypatch):
    class Forbidden:
        def __init__(self, *, privileged):
            raise icmplib.SocketPermissionError(privileged)

    monkeypatch.setattr(icmplib, "ICMPv4Socket", Forbidden)
    result = await run("icmp", host="127.0.0.1", **FAST)
    assert (result.status, result.reason) == ("unknown", "bug")
    assert "net.ipv4.ping_group_range" in result.detail


async def test_an_unknown_name_is_not_found(run):
    result = await run("icmp", host="tiada.invalid", **FAST)
    assert (result.status, result.phases.get("first_byte")) != ("up", 0)
    assert result.reason in {"name_not_found", "resolver_failed"}
