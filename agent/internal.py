"""The agent about itself, in Telegraf's ``internal_*`` measurements, read like any other collector."""

import resource
import socket
from collections.abc import Callable, Mapping

from agent.clock import Clock
from agent.gather import Counts as Gathered
from agent.send import Sender
from agent.spool import Spool
from agent.version import VERSION
from collectors.point import Point, Value


class Internal:
    """Counts of gathering, writing and the spool. ``gathered`` is by collector and may change as settings do.

    ``refused`` says what is wrong with settings that were not taken, or "".
    """

    def __init__(
        self,
        gathered: Mapping[str, Gathered],
        spool: Spool,
        sender: Sender,
        clock: Clock,
        refused: Callable[[], str],
    ) -> None:
        self._gathered = gathered
        self._spool = spool
        self._sender = sender
        self._clock = clock
        self._refused = refused

    async def collect(self, now: int) -> list[Point]:
        """Return ``internal_agent``, ``internal_write`` and one ``internal_gather`` for each collector."""
        return [
            Point("internal_agent", {"version": VERSION}, self._agent(), now),
            Point("internal_write", {"output": "influxdb_v2", "version": VERSION}, self._write(), now),
            *(Point("internal_gather", {"input": name}, _gather(one), now) for name, one in self._gathered.items()),
        ]

    def _agent(self) -> dict[str, Value]:
        tally = self._spool.tally
        used = resource.getrusage(resource.RUSAGE_SELF)
        fields: dict[str, Value] = {
            "gather_errors": sum(one.errors for one in self._gathered.values()),
            "gather_timeouts": sum(one.timeouts for one in self._gathered.values()),
            "metrics_gathered": tally.collected,
            "metrics_written": tally.delivered,
            "metrics_dropped": tally.dropped,
            "metrics_rejected": tally.rejected + tally.quarantined,
            "cpu_time": used.ru_utime + used.ru_stime,
            "memory_rss_peak": used.ru_maxrss * 1024,
            "hostname": socket.gethostname(),
        }
        if self._sender.version:
            fields["centre_version"] = self._sender.version
        if refused := self._refused():
            fields |= {"settings_refused": 1, "settings_error": refused}
        else:
            fields["settings_refused"] = 0
        if self._clock.offset_ms is not None:
            fields["clock_offset_ms"] = self._clock.offset_ms
        return fields

    def _write(self) -> dict[str, Value]:
        tally = self._spool.tally
        return {
            "metrics_added": tally.collected,
            "metrics_written": tally.delivered,
            "metrics_dropped": tally.dropped,
            "metrics_rejected": tally.rejected,
            "metrics_quarantined": tally.quarantined,
            "buffer_size": tally.spooled,
            "spool_bytes": self._spool.size,
            "spool_set_aside": self._spool.set_aside,
            "errors": self._sender.counts.errors,
            "write_time_ns": self._sender.counts.took_ns,
        }


def _gather(one: Gathered) -> dict[str, Value]:
    return {
        "metrics_gathered": one.gathered,
        "gather_time_ns": one.took_ns,
        "gather_timeouts": one.timeouts,
        "errors": one.errors,
        "missed": one.missed,
        "limited": one.limited,
        "duplicates": one.duplicates,
    }
