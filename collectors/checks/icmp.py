"""The one door to icmplib: send echo requests and count what comes back."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from time import perf_counter
from typing import Final

import icmplib
import icmplib.utils
import msgspec

from collectors.checks import Target
from collectors.checks.engines.failure import Failure, from_error
from collectors.checks.engines.look import Look, observe
from collectors.checks.engines.resolver import Ip, Resolver, checked_host, routed
from collectors.result import Reason, Result, Status
from configs.units import Duration

_ALL: Final = 100.0
_SHORTEST_INTERVAL: Final = 0.01
_MOST: Final = 100
_FOR_THE_NAME: Final = 0.5
_SHARE_OF_THE_REST: Final = 0.9
_PATIENCE: Final = 3600.0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an icmp check.

    ``count`` echo requests go to ``host``, one each ``interval``; a reply counts until ``wait`` after the last one was sent.
    ``ip`` is "any", "4" or "6". Loss in percent: from ``loss_degraded`` the host is degraded, from ``loss_down`` down. ``slow``: an average
    above it is degraded.
    """

    host: str
    ip: Ip = "any"
    count: int = 4
    interval: Duration = Duration(0.2)
    wait: Duration = Duration(2.0)
    loss_degraded: float = 25.0
    loss_down: float = 100.0
    slow: Duration | None = None


class Icmp:
    """Pings one host per run, over an unprivileged datagram socket where the system allows it, else over a raw one."""

    def __init__(self, target: Target, options: Options) -> None:
        checked_host("host", options.host, options.ip)
        if not 1 <= options.count <= _MOST:
            raise ValueError(f"'count': expected 1 to {_MOST}, got {options.count}")
        if options.interval < _SHORTEST_INTERVAL:
            raise ValueError("'interval': expected at least 10ms")
        if not 0 < options.loss_degraded <= options.loss_down <= _ALL:
            raise ValueError(
                "'loss_degraded' and 'loss_down': expected percent, above 0, the second not below the first"
            )
        longest = (options.count - 1) * options.interval + options.wait
        if longest + _FOR_THE_NAME > target.timeout:
            raise ValueError(
                f"'count', 'interval' and 'wait' make a run of {longest:g} s; with {_FOR_THE_NAME} s for the name"
                f" that does not fit in the timeout of {target.timeout:g} s"
            )
        self._target = target
        self._options = options
        self._resolver = Resolver()

    async def run(self, at: int) -> Result:
        """Ping once; see ``Check.run``. ``took`` and the phase first_byte are the average round trip, without a reply nothing.

        Facts: address, sent, received, loss (percent), rtt_min, rtt_avg, rtt_max, jitter (seconds).
        """
        result = await observe(self._target, at, self._work)
        average = result.facts.get("rtt_avg")
        phases = {name: spent for name, spent in result.phases.items() if name == "dns"}
        if isinstance(average, float):
            return msgspec.structs.replace(result, took=average, phases={**phases, "first_byte": average})
        return msgspec.structs.replace(result, took=None, phases=phases)

    async def _work(self, look: Look) -> None:
        options = self._options
        address = routed(await self._resolver.addresses(options.host, options.ip, look.remaining()))
        look.facts["address"] = address
        look.enter("first_byte")
        with _socket(address) as opened:
            pings = _Pings(opened, address)
            await pings.run(options.count, options.interval, options.wait, look)
        self._judge(look, pings)

    def _judge(self, look: Look, pings: "_Pings") -> None:
        options, trips = self._options, pings.trips
        loss = _ALL * (1 - len(trips) / options.count)
        look.facts |= {"sent": options.count, "received": len(trips), "loss": round(loss, 2)}
        told = f"{len(trips)} of {options.count} replies from {look.facts['address']}"
        if not trips:
            raise Failure(Reason.UNREACHABLE, f"{told}{': ' if pings.complaint else ''}{pings.complaint}")
        average = sum(trips) / len(trips)
        look.facts |= {"rtt_min": min(trips), "rtt_avg": average, "rtt_max": max(trips), "jitter": _jitter(trips)}
        look.summary = f"{told}, {average * 1000:.2f} ms"
        if loss >= options.loss_degraded:
            look.find("down" if loss >= options.loss_down else "degraded", Reason.LOSS, f"{told}, {loss:.0f}% lost")
        if options.slow is not None and average > options.slow:
            look.find("degraded", Reason.SLOW, f"{average:.3f} s on average, slow above {options.slow:g} s")


class _Pings:
    """The requests of one run and the round trips (s) of those that were answered, in the order of sending."""

    def __init__(self, opened: icmplib.AsyncSocket, address: str) -> None:
        self._socket = opened
        self._address = address
        self._sent: dict[int, float] = {}
        self._trips: dict[int, float] = {}
        self._id = icmplib.utils.unique_identifier()
        self.complaint = ""

    @property
    def trips(self) -> list[float]:
        return [self._trips[sequence] for sequence in sorted(self._trips)]

    async def run(self, count: int, interval: float, wait: float, look: Look) -> None:
        """Send ``count`` requests, and listen from the first until all are answered, ``wait`` is over or the run must end."""
        listening = asyncio.create_task(self._listen(count))
        try:
            for sequence in range(count):
                if sequence:
                    await asyncio.sleep(interval)
                self._send(sequence)
            await asyncio.wait([listening], timeout=min(wait, look.remaining() * _SHARE_OF_THE_REST))
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    def _send(self, sequence: int) -> None:
        request = icmplib.ICMPRequest(self._address, self._id, sequence)
        self._sent[sequence] = perf_counter()
        try:
            self._socket.send(request)
        except icmplib.ICMPLibError as error:
            self.complaint = str(error)
        # The kernel puts an identifier of its own into requests of an unprivileged socket.
        self._id = request.id

    async def _listen(self, count: int) -> None:
        while len(self._trips) < count:
            try:
                reply = await self._socket.receive(None, _PATIENCE)
            except icmplib.TimeoutExceeded:
                continue
            except icmplib.ICMPSocketError as error:
                self.complaint = str(error)
                return
            now = perf_counter()
            if reply.id != self._id or reply.sequence not in self._sent:
                continue
            try:
                reply.raise_for_status()
            except icmplib.ICMPLibError as error:
                self.complaint = str(error)
                continue
            self._trips.setdefault(reply.sequence, now - self._sent[reply.sequence])


def _socket(address: str) -> icmplib.AsyncSocket:
    kind = icmplib.ICMPv6Socket if ":" in address else icmplib.ICMPv4Socket
    for privileged in (False, True):
        try:
            return icmplib.AsyncSocket(kind(privileged=privileged))
        except icmplib.SocketPermissionError:
            continue
        except icmplib.ICMPSocketError as error:
            raise from_error(error.__context__ or error, "connect", 0.0) from error
    raise Failure(
        Reason.BUG,
        "this system lets us ping over neither a datagram nor a raw socket: widen net.ipv4.ping_group_range"
        " to the group of this process, or give it CAP_NET_RAW",
        Status.UNKNOWN,
    )


def _jitter(trips: list[float]) -> float:
    """Return the mean difference between one round trip and the next."""
    steps = [abs(second - first) for first, second in pairwise(trips)]
    return sum(steps) / len(steps) if steps else 0.0
