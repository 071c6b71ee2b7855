"""Collectors of this host: one file each, found by name in ``COLLECTORS`` and imported only when configured."""

from typing import Final, Protocol

import msgspec

from collectors.point import Point


class Roots(msgspec.Struct, frozen=True):
    """Where the kernel's file systems are; tests put recorded trees here.

    ``state`` is a folder in which a collector may keep what it has to know after a restart; none is kept without it.
    """

    proc: str = "/proc"
    sys: str = "/sys"
    etc: str = "/etc"
    run: str = "/run"
    var: str = "/var"
    state: str = ""


class Collector(Protocol):
    """Reads one part of this host. Built with ``(options: Options, roots: Roots)``; building reads nothing.

    A class has its settings beside it as ``Options`` (a frozen msgspec Struct that forbids unknown fields).
    """

    async def collect(self, now: int) -> list[Point]:
        """Return the points of this instant (``now``: ns since epoch), without the ``host`` tag.

        Counters that need an earlier reading give nothing the first time. Raises OSError when the host lacks what is read.
        """
        ...


COLLECTORS: Final[dict[str, str]] = {
    "cpu": "collectors.host.cpu:Cpu",
    "mem": "collectors.host.mem:Mem",
    "swap": "collectors.host.swap:Swap",
    "disk": "collectors.host.disk:Disk",
    "diskio": "collectors.host.diskio:DiskIo",
    "net": "collectors.host.net:Net",
    "system": "collectors.host.system:System",
    "processes": "collectors.host.processes:Processes",
    "kernel": "collectors.host.kernel:Kernel",
    "container": "collectors.host.container:Container",
    "apache": "collectors.host.apache:Apache",
    "chrony": "collectors.host.chrony:Chrony",
    "conntrack": "collectors.host.conntrack:Conntrack",
    "docker": "collectors.host.docker:Docker",
    "exec": "collectors.host.exec:Exec",
    "interrupts": "collectors.host.interrupts:Interrupts",
    "journald": "collectors.host.journald:Journald",
    "linux_sysctl_fs": "collectors.host.linux_sysctl_fs:LinuxSysctlFs",
    "mdstat": "collectors.host.mdstat:Mdstat",
    "mysql": "collectors.host.mysql:Mysql",
    "netstat": "collectors.host.netstat:Netstat",
    "nginx": "collectors.host.nginx:Nginx",
    "nstat": "collectors.host.nstat:Nstat",
    "phpfpm": "collectors.host.phpfpm:Phpfpm",
    "postgresql": "collectors.host.postgresql:Postgresql",
    "pressure": "collectors.host.pressure:Pressure",
    "procstat": "collectors.host.procstat:Procstat",
    "redis": "collectors.host.redis:Redis",
    "sensors": "collectors.host.sensors:Sensors",
    "smart": "collectors.host.smart:Smart",
    "sockets": "collectors.host.sockets:Sockets",
    "systemd_units": "collectors.host.systemd_units:SystemdUnits",
    "temp": "collectors.host.temp:Temp",
    "textfile": "collectors.host.textfile:Textfile",
    "timex": "collectors.host.timex:Timex",
    "weblog": "collectors.host.weblog:Weblog",
    "updates": "collectors.host.updates:Updates",
    "x509_cert": "collectors.host.x509_cert:X509Cert",
}

# what an agent collects that was not told what to collect
DEFAULT: Final = ("cpu", "mem", "swap", "disk", "diskio", "net", "system", "processes", "kernel", "container")
