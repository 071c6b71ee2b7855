"""The same names, tags and types as the real Telegraf on this machine; set PANTAU_TEST_TELEGRAF to its path."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from parts import daemon, require_env, wait_for

from collectors.host import DEFAULT, Roots
from collectors.linereader import decode

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("linux")]

SETTINGS = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.cpu]]
  collect_cpu_time = true
  report_active = true
[[inputs.mem]]
[[inputs.swap]]
[[inputs.disk]]
  ignore_fs = ["tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs"]
[[inputs.diskio]]
[[inputs.net]]
[[inputs.system]]
[[inputs.processes]]
[[inputs.kernel]]
[[inputs.netstat]]
[[inputs.nstat]]
  dump_zeros = true
[[outputs.file]]
  files = ["{out}"]
  data_format = "influx"
"""
OPTIONS = {"cpu": {"collect_cpu_time": True, "report_active": True}, "nstat": {"fields": ("*",)}}
# Telegraf writes parked only while there is such a process; io_await and io_svctm need traffic between two readings
SOMETIMES = {"parked", "io_await", "io_svctm"}


def by_series(points):
    """Series -> field -> value, the latest of each."""
    series = {}
    for point in points:
        series.setdefault((point.measurement, *sorted(point.tags.items())), {}).update(point.fields)
    return series


@pytest.fixture
def theirs(tmp_path):
    telegraf = require_env("PANTAU_TEST_TELEGRAF", "Telegraf")
    out = tmp_path / "out.lp"
    settings = tmp_path / "telegraf.conf"
    settings.write_text(SETTINGS.replace("{out}", str(out)))
    with daemon([telegraf, "--config", settings], log=tmp_path / "telegraf.log"):
        wait_for(lambda: out.exists() and "io_util" in out.read_text(), 15, "a second reading")
    return by_series(decode(out.read_bytes().rpartition(b"\n")[0], now=0).points)


@pytest.fixture
def ours(collector, theirs):
    """Read right after Telegraf."""

    async def twice():
        every = [collector(name, Roots(), **OPTIONS.get(name, {})) for name in (*DEFAULT, "netstat", "nstat")]
        points = []
        for _ in range(2):
            for one in every:
                points += await one.collect(time.time_ns())
            await asyncio.sleep(0.5)
        return points

    return by_series(asyncio.run(twice()))


def test_series_fields_and_types_are_telegrafs(theirs, ours):
    loops = [s for s in theirs if s[0] == "diskio" and re.match("loop|ram", dict(s[1:])["name"])]
    assert set(ours) == set(theirs) - set(loops)
    if not Path("/run/utmp").exists():
        # Telegraf tells users only where there is utmp; Pantau asks logind too
        for name in ("n_users", "n_unique_users"):
            ours["system",].pop(name, None)
    for series, fields in ours.items():
        names = set(fields) ^ set(theirs[series])
        assert names <= SOMETIMES, (series, names)
        for name in set(fields) & set(theirs[series]):
            assert type(fields[name]) is type(theirs[series][name]), (series, name)


def test_values_are_telegrafs(theirs, ours):
    mem, tmem = ours["mem",], theirs["mem",]
    for name in ("total", "commit_limit", "swap_total", "huge_page_size", "vmalloc_total", "high_total"):
        assert mem[name] == tmem[name], name
    for name in ("available", "used", "free", "cached", "buffered", "slab"):
        assert mem[name] == pytest.approx(tmem[name], abs=0.02 * mem["total"]), name
    assert mem["used_percent"] == pytest.approx(tmem["used_percent"], abs=2)
    for series, fields in ours.items():
        their = theirs[series]
        if series[0] == "disk":
            assert (fields["total"], fields["inodes_total"]) == (their["total"], their["inodes_total"])
            assert fields["used"] == pytest.approx(their["used"], abs=0.01 * fields["total"])
            assert fields["free"] == pytest.approx(their["free"], abs=0.01 * fields["total"])
            assert fields["used_percent"] == pytest.approx(their["used_percent"], abs=1)
        if series[0] == "cpu":
            assert fields["time_idle"] == pytest.approx(their["time_idle"], abs=30)
            usage = [
                fields[f"usage_{s}"] for s in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
            ]
            assert sum(usage) == pytest.approx(100)
        if series[0] in {"net", "diskio"}:
            counters = [name for name in fields if name.endswith(("bytes", "_sent", "_recv", "reads", "writes"))]
            assert counters
            assert all(fields[name] >= their[name] for name in counters)
    for name in ("n_cpus", "n_physical_cpus"):
        assert ours["system",][name] == theirs["system",][name]
    for name in ("tcp_listen", "udp_socket"):
        assert ours["netstat",][name] == pytest.approx(theirs["netstat",][name], abs=5)
    snmp = "nstat", ("name", "snmp")
    assert ours[snmp]["TcpInSegs"] >= theirs[snmp]["TcpInSegs"]
    assert ours[snmp]["TcpMaxConn"] == theirs[snmp]["TcpMaxConn"]
    assert 0 <= ours["system",]["uptime"] - theirs["system",]["uptime"] < 30
    assert re.fullmatch(r"(\d+ days?, )?[ \d]\d:\d\d", theirs["system",]["uptime_format"])
    assert ours["kernel",]["boot_time"] == theirs["kernel",]["boot_time"]
    assert ours["kernel",]["context_switches"] >= theirs["kernel",]["context_switches"]
    assert ours["processes",]["total"] == pytest.approx(theirs["processes",]["total"], rel=0.3)
