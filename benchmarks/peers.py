"""The peers of the agent, each set up to observe and deliver what the agent's default collectors do, every ten seconds."""

import os
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from daemons import Missing, Peer, Traffic, free_port, http_sink, program, scraper, udp_sink

INTERVAL = 10
COLLECTD = """
Interval {interval}
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
{plugins}
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
<Plugin df>
  FSType tmpfs
  FSType devtmpfs
  FSType overlay
  FSType squashfs
  IgnoreSelected true
  ReportInodes true
  ValuesPercentage true
</Plugin>
<Plugin disk>
  Disk "/^(loop|ram)/"
  IgnoreSelected true
</Plugin>
<Plugin interface>
  Interface "lo"
  IgnoreSelected true
</Plugin>
"""
COLLECTD_PLUGINS = (
    *("network", "cpu", "memory", "swap", "df", "disk", "interface", "load", "users", "uptime"),
    *("processes", "contextswitch", "entropy"),
)
TELEGRAF = """
[agent]
  interval = "{interval}s"
  flush_interval = "{interval}s"
  omit_hostname = false
[[outputs.influxdb_v2]]
  urls = ["http://127.0.0.1:{port}"]
  token = "made-up"
  organization = "pantau"
  bucket = "pantau"
[[inputs.cpu]]
[[inputs.mem]]
[[inputs.swap]]
[[inputs.disk]]
  ignore_fs = ["tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs"]
[[inputs.diskio]]
[[inputs.net]]
  ignore_protocol_stats = true
[[inputs.system]]
[[inputs.processes]]
[[inputs.kernel]]
"""
GLANCES = """
[outputs]
check_update=False
[influxdb2]
host=127.0.0.1
port={port}
protocol=http
org=pantau
bucket=pantau
token=made-up
interval={interval}
"""
ZABBIX = """
PidFile={folder}/zabbix.pid
LogType=console
Server=127.0.0.1
ListenIP=127.0.0.1
ListenPort={port}
AllowRoot=1
"""


def pantau(folder: Path, stack: ExitStack, interval: float = INTERVAL, more: str = "") -> Peer:
    """Set up the agent with its default collectors; it also keeps what it sends in its spool until it is acknowledged."""
    port, traffic = stack.enter_context(http_sink())
    file = folder / "agent.toml"
    file.write_text(
        f'[agent]\nstate_dir = "state"\ninterval = "{interval}s"\n{more}\n'
        f'[output]\nurl = "http://127.0.0.1:{port}"\ninterval = "{interval}s"\n'
    )
    agent = Path(sys.executable).with_name("pantau-agent")
    return Peer("pantau-agent", [str(agent), "--settings", str(file)], traffic)


def node_exporter(_: Path, __: ExitStack, *arguments: str) -> Peer:
    """Set up Prometheus's exporter, asked for a plain answer."""
    port, traffic = free_port(), Traffic()
    command = [_exporter(), f"--web.listen-address=127.0.0.1:{port}", *arguments]
    return Peer("node_exporter", command, traffic, scraper(port, traffic, compressed=False))


def node_exporter_gzip(folder: Path, _: ExitStack) -> Peer:
    """Set up the exporter asked as a Prometheus asks; it is a copy of the program, or the two would share their memory."""
    port, traffic = free_port(), Traffic()
    command = [shutil.copy(_exporter(), folder), f"--web.listen-address=127.0.0.1:{port}"]
    return Peer("node_exporter gzip", command, traffic, scraper(port, traffic, compressed=True))


def telegraf(folder: Path, stack: ExitStack) -> Peer:
    """Set up Telegraf with the same inputs, to InfluxDB 2."""
    binary = os.environ.get("PANTAU_TEST_TELEGRAF", "") or shutil.which("telegraf")
    if not binary or not Path(binary).exists():
        raise Missing("telegraf: set PANTAU_TEST_TELEGRAF to its path, or install it from its maker's repository")
    port, traffic = stack.enter_context(http_sink())
    file = folder / "telegraf.conf"
    file.write_text(TELEGRAF.format(interval=INTERVAL, port=port))
    return Peer("telegraf", [binary, "--config", str(file), "--quiet"], traffic)


def collectd(folder: Path, stack: ExitStack) -> Peer:
    """Set up collectd, a daemon in C, with the matching plug-ins; it sends as to another collectd."""
    binary = program("collectd", "collectd-core")
    port, traffic = stack.enter_context(udp_sink())
    plugins = "\n".join(f"LoadPlugin {name}" for name in COLLECTD_PLUGINS)
    file = folder / "collectd.conf"
    file.write_text(COLLECTD.format(interval=INTERVAL, folder=folder, plugins=plugins, port=port))
    return Peer("collectd", [binary, "-f", "-C", str(file)], traffic)


def glances(folder: Path, stack: ExitStack) -> Peer:
    """Set up Glances without its screen, exporting to InfluxDB 2."""
    binary = Path(sys.executable).with_name("glances")
    if not binary.exists():
        raise Missing("glances: pip install glances influxdb-client")
    port, traffic = stack.enter_context(http_sink())
    file = folder / "glances.conf"
    file.write_text(GLANCES.format(interval=INTERVAL, port=port))
    command = [str(binary), "-C", str(file), "--export", "influxdb2", "-q", "-t", str(INTERVAL)]
    return Peer("glances", command, traffic)


def zabbix(folder: Path, _: ExitStack) -> Peer:
    """Set up Zabbix's agent in C, asked for the items of "Linux by Zabbix agent" as a server does: a connection each."""
    binary = program("zabbix_agentd", "zabbix-agent")
    port, traffic = free_port(), Traffic()
    file = folder / "zabbix.conf"
    file.write_text(ZABBIX.format(folder=folder, port=port))
    items = _zabbix_items()

    def poll() -> None:
        for item in items:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.sendall(b"ZBXD\1" + len(item).to_bytes(8, "little") + item.encode())
                answer = b"".join(iter(lambda: sock.recv(65536), b""))
            traffic.add(len(answer))

    return Peer("zabbix-agent", [binary, "-f", "-c", str(file)], traffic, poll)


def _zabbix_items() -> list[str]:
    states = ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal", "guest", "guest_nice")
    cards = [card.name for card in Path("/sys/class/net").iterdir() if card.name != "lo"]
    disks = [disk.name for disk in Path("/sys/block").iterdir() if not disk.name.startswith(("loop", "ram"))]
    return [
        *(f"system.cpu.util[,{state}]" for state in states),
        *(f"system.cpu.load[all,avg{minutes}]" for minutes in (1, 5, 15)),
        *("system.cpu.num", "system.cpu.intr", "system.cpu.switches", "system.uptime", "system.users.num"),
        *(f"vm.memory.size[{kind}]" for kind in ("total", "available", "pavailable")),
        *(f"system.swap.size[,{kind}]" for kind in ("total", "free", "pfree")),
        *("proc.num", "proc.num[,,run]", "vfs.fs.get"),
        *(
            f"net.if.{way}[{card}{what}]"
            for card in cards
            for way in ("in", "out")
            for what in ("", ",dropped", ",errors")
        ),
        *(f"vfs.file.contents[/sys/class/net/{card}/{what}]" for card in cards for what in ("operstate", "speed")),
        *(f"vfs.file.contents[/sys/block/{disk}/stat]" for disk in disks),
    ]


def _exporter() -> str:
    return program("prometheus-node-exporter", "prometheus-node-exporter")


ALL = (pantau, node_exporter, node_exporter_gzip, collectd, zabbix, telegraf, glances)
