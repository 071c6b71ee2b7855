"""What the kernel tells of processes: which there are, and what one of them uses."""

import errno
import os
from pathlib import Path
from typing import Final

import msgspec

from collectors.host.sources import kernelfile
from collectors.point import Value

# places in /proc/PID/stat, counted after the name
_PLACES: Final = {
    "ppid": 1,
    "minor_faults": 7,
    "child_minor_faults": 8,
    "major_faults": 9,
    "child_major_faults": 10,
    "nice_priority": 16,
    "num_threads": 17,
    "memory_vms": 20,
    "realtime_priority": 37,
}
_USER, _SYSTEM, _STARTED, _RESIDENT, _IOWAIT = 11, 12, 19, 21, 39
_STATES: Final = {
    "R": "running",
    "S": "sleep",
    "D": "blocked",
    "Z": "zombie",
    "T": "stop",
    "t": "stop",
    "I": "idle",
    "W": "wait",
}
_STATUS: Final = {
    "VmSwap": "memory_swap",
    "voluntary_ctxt_switches": "voluntary_context_switches",
    "nonvoluntary_ctxt_switches": "involuntary_context_switches",
}
_IO: Final = {
    "rchar": "read_bytes",
    "wchar": "write_bytes",
    "syscr": "read_count",
    "syscw": "write_count",
    "read_bytes": "disk_read_bytes",
    "write_bytes": "disk_write_bytes",
}
_OPEN_FILES: Final = "Max open files"
_UNLIMITED: Final = "unlimited"


class Process(msgspec.Struct, frozen=True):
    """One process at one instant: ``started`` and ``spent`` are clock ticks since boot and of processor time."""

    pid: int
    name: str
    started: int
    spent: int
    fields: dict[str, Value]


def pids(proc: str) -> list[str]:
    """Return the numbers of all processes. PermissionError where others' are hidden: a part is not the whole."""
    found = [name for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - cheaper for thousands
    if "1" not in found:
        raise PermissionError(errno.EACCES, "shows own processes only (mounted with hidepid)", proc)
    return found


def names(proc: str, pid: str) -> tuple[str, str]:
    """Return name and command line of a process; the kernel cuts names at 15 letters, the command line has the rest."""
    name = kernelfile.word(proc, f"{pid}/comm") or ""
    command = (kernelfile.word(proc, f"{pid}/cmdline") or "").rstrip("\0")
    program = command.partition("\0")[0].rpartition("/")[2]
    return program if len(name) == 15 and program.startswith(name) else name, command.replace("\0", " ")  # noqa: PLR2004


def look(proc: str, pid: str) -> Process | None:
    """Return what a process uses; None when it ended. What this agent may not see of it is left out."""
    try:
        stat = kernelfile.text(proc, f"{pid}/stat")
    except OSError:
        return None
    words = stat[stat.rfind(")") + 2 :].split()
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    fields: dict[str, Value] = {name: int(words[place]) for name, place in _PLACES.items()}
    fields["pid"] = int(pid)
    fields["status"] = _STATES.get(words[0], "unknown")
    fields["memory_rss"] = int(words[_RESIDENT]) * page
    fields["cpu_time_user"] = int(words[_USER]) / tick
    fields["cpu_time_system"] = int(words[_SYSTEM]) / tick
    fields["cpu_time_iowait"] = int(words[_IOWAIT]) / tick
    fields.update(_counts(proc, f"{pid}/status", _STATUS))
    fields.update(_counts(proc, f"{pid}/io", _IO))
    if "memory_swap" in fields:
        fields["memory_swap"] = int(fields["memory_swap"]) * 1024
    fields.update(_open_files(proc, pid))
    return Process(int(pid), names(proc, pid)[0], int(words[_STARTED]), int(words[_USER]) + int(words[_SYSTEM]), fields)


def _counts(proc: str, file: str, wanted: dict[str, str]) -> dict[str, Value]:
    """Return those lines ``name: value`` that are wanted, under the names of their fields."""
    lines = (line.partition(":") for line in (kernelfile.word(proc, file) or "").splitlines())
    return {wanted[name]: int(value.split()[0]) for name, _, value in lines if name in wanted}


def _open_files(proc: str, pid: str) -> dict[str, Value]:
    """Count the open files without walking through them where the kernel tells their number (since 6.2)."""
    folder = Path(proc, pid, "fd")
    fields: dict[str, Value] = {}
    try:
        fields["num_fds"] = folder.stat().st_size or len(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return fields
    for line in (kernelfile.word(proc, f"{pid}/limits") or "").splitlines():
        if line.startswith(_OPEN_FILES):
            for name, limit in zip(("soft", "hard"), line.removeprefix(_OPEN_FILES).split(), strict=False):
                if limit != _UNLIMITED:
                    fields[f"rlimit_num_fds_{name}"] = int(limit)
    return fields
