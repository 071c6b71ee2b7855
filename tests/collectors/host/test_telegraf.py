"""The same names, tags and types as the real Telegraf on this machine; set PANTAU_TEST_TELEGRAF to its path."""

import asyncio
import re
import subprocess
import time
from pathlib import Path

import pytest
from parts import daemon, require, require_env, wait_for

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
# ours beyond Telegraf 1.37: a fault that only the mount table tells, and a field of its later versions
MORE_FIELDS = {"emergency_ro", "public_key_length"}


def by_series(points):
    """Series -> field -> value, the latest of each."""
    series = {}
    for point in points:
        series.setdefault((point.measurement, *sorted(point.tags.items())), {}).update(point.fields)
    return series


@pytest.fixture
def theirs(tmp_path):
    """Let Telegraf read this machine."""
    telegraf = require_env("PANTAU_TEST_TELEGRAF", "Telegraf")
    out = tmp_path / "out.lp"
    settings = tmp_path / "telegraf.conf"
    settings.write_text(SETTINGS.replace("{out}", str(out)))

    def read():
        out.unlink(missing_ok=True)
        with daemon([telegraf, "--config", settings], log=tmp_path / "telegraf.log"):
            wait_for(lambda: out.exists() and "io_util" in out.read_text(), 15, "a second reading")
        return by_series(decode(out.read_bytes().rpartition(b"\n")[0], now=0).points)

    return read


@pytest.fixture
def ours(collector):
    """Read it ourselves, to be asked right after Telegraf."""

    async def twice():
        names = [name for name in (*DEFAULT, "netstat", "nstat") if name != "container"]  # which it does not know
        every = [collector(name, Roots(), **OPTIONS.get(name, {})) for name in names]
        points = []
        for _ in range(2):
            for one in every:
                points += await one.collect(time.time_ns())
            await asyncio.sleep(0.5)
        return points

    return lambda: by_series(asyncio.run(twice()))


def agreeing(theirs, ours, compare):
    """Compare the two; other programs of this machine change it between their moments, but not each of five times."""
    for _ in range(4):
        try:
            return compare(theirs(), ours())
        except AssertionError:
            continue
    return compare(theirs(), ours())


def test_series_fields_and_types_are_telegrafs(theirs, ours):
    agreeing(theirs, ours, same_names)


def same_names(theirs, ours):
    loops = [s for s in theirs if s[0] == "diskio" and re.match("loop|ram", dict(s[1:])["name"])]
    assert set(ours) == set(theirs) - set(loops)
    if not Path("/run/utmp").exists():
        # Telegraf tells users only where there is utmp; Pantau asks logind too
        for name in ("n_users", "n_unique_users"):
            ours["system",].pop(name, None)
    for series, fields in ours.items():
        names = set(fields) ^ set(theirs[series])
        assert names - MORE_FIELDS <= SOMETIMES, (series, names)
        for name in set(fields) & set(theirs[series]):
            assert type(fields[name]) is type(theirs[series][name]), (series, name)


def test_values_are_telegrafs(theirs, ours):
    agreeing(theirs, ours, near_values)


def near_values(theirs, ours):
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
    # sysinfo(2), which it asks, rounds up
    assert -1 <= ours["system",]["uptime"] - theirs["system",]["uptime"] < 30
    assert re.fullmatch(r"(\d+ days?, )?[ \d]\d:\d\d", theirs["system",]["uptime_format"])
    assert ours["kernel",]["boot_time"] == theirs["kernel",]["boot_time"]
    assert ours["kernel",]["context_switches"] >= theirs["kernel",]["context_switches"]
    assert ours["processes",]["total"] == pytest.approx(theirs["processes",]["total"], rel=0.3)


LARGEST = 1e300
MORE = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.exec]]
  commands = ["{plugin}"]
  data_format = "nagios"
[[inputs.x509_cert]]
  sources = ["file://{certificate}"]
[[inputs.kernel]]
  collect = ["psi"]
[[outputs.file]]
  files = ["{out}"]
  data_format = "influx"
"""
PLUGIN = """#!/bin/sh
echo "DISK WARNING - /var 91%|'/var log'=91.5%;80:90;@10:20;0;100 inode=12;10;95"
echo "baris kedua"
exit 1
"""


@pytest.fixture
def more(tmp_path, collector):
    """Series of Nagios plug-ins, certificates and pressure, theirs and ours."""
    telegraf, openssl = require_env("PANTAU_TEST_TELEGRAF", "Telegraf"), require("openssl", "openssl")
    plugin, certificate, out = tmp_path / "check_uji", tmp_path / "uji.pem", tmp_path / "out.lp"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", certificate]
    make += ["-subj", "/C=ID/O=Kota/CN=uji.example", "-addext", "subjectAltName=DNS:uji.example,DNS:b.example"]
    subprocess.run(make, check=True, capture_output=True)
    settings = tmp_path / "telegraf.conf"
    settings.write_text(
        MORE.replace("{plugin}", str(plugin)).replace("{certificate}", str(certificate)).replace("{out}", str(out))
    )
    with daemon([telegraf, "--config", settings], log=tmp_path / "telegraf.log"):
        wait_for(
            lambda: out.exists() and {b"nagios_state", b"x509_cert"} <= set(re.split(rb"[,\s]", out.read_bytes())), 15
        )
    every = [collector("exec", commands={"uji": (str(plugin),)}), collector("x509_cert", sources=(str(certificate),))]
    if Path("/proc/pressure").is_dir():
        every.append(collector("pressure"))
    points = [point for one in every for point in asyncio.run(one.collect(time.time_ns()))]
    return by_series(decode(out.read_bytes().rpartition(b"\n")[0], now=0).points), by_series(points)


def test_plug_ins_certificates_and_pressure_are_named_as_telegraf_names_them(more):
    theirs, ours = more
    # two plug-ins would be one series without a tag that names them
    ours_only = {"check"}
    for measurement in {series[0] for series in ours}:
        names = [{name for s in told if s[0] == measurement for name in told[s]} for told in (ours, theirs)]
        tags = [{tag for s in told if s[0] == measurement for tag, _ in s[1:]} for told in (ours, theirs)]
        assert names[0] - MORE_FIELDS <= names[1], (measurement, names[0] - names[1])
        assert tags[0] - ours_only <= tags[1], (measurement, tags)
    for series, fields in ours.items():
        if series[0] == "nagios":
            told = theirs[tuple(part for part in series if part[0] != "check")]
            # it reads the start of a range that alerts inside as 0, and names a side without a bound the largest float
            inside = {name for name in fields if name.endswith(("_ge", "_le"))}
            expected = {name: value for name, value in told.items() if abs(value) < LARGEST and name not in inside}
            assert {name: value for name, value in fields.items() if name not in inside} == expected
