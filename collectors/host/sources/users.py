"""Who is logged in: from utmp, or from logind on hosts that no longer keep it."""

import struct
from pathlib import Path
from typing import Final

from collectors.host.sources import kernelfile

_USER_PROCESS: Final = 7
_LAST_TYPE: Final = 9
_NAME: Final = slice(44, 76)
_RECORD_SIZES: Final = (384, 400)  # utmp(5): 400 where long and time are 64 bits wide there too (arm64, riscv64)


def logged_in(run: str) -> list[str] | None:
    """Return one user name for each session; None when this host keeps neither utmp nor logind sessions."""
    try:
        return _utmp(Path(run, "utmp").read_bytes())
    except OSError:
        pass
    try:
        sessions = [file.name for file in Path(run, "systemd", "sessions").iterdir()]
    except OSError:
        return None
    names = (_session(run, session) for session in sessions if not session.endswith(".ref"))
    return [name for name in names if name]


def _utmp(data: bytes) -> list[str]:
    for size in _RECORD_SIZES:
        records = [data[start : start + size] for start in range(0, len(data), size)]
        types = [struct.unpack_from("=h", record)[0] for record in records if len(record) == size]
        if len(types) == len(records) and all(0 <= kind <= _LAST_TYPE for kind in types):
            return [
                record[_NAME].split(b"\0", 1)[0].decode("utf-8", "replace")
                for record, kind in zip(records, types, strict=True)
                if kind == _USER_PROCESS
            ]
    return []


def _session(run: str, session: str) -> str | None:
    """Return the user of one logind session when it is a person's and not on its way out."""
    told = dict(
        line.partition("=")[::2] for line in (kernelfile.word(run, f"systemd/sessions/{session}") or "").splitlines()
    )
    is_person = told.get("CLASS", "user") == "user" and told.get("STATE") != "closing"
    return told.get("USER") if is_person else None
