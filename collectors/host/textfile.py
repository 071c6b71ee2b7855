"""Points that other programs leave in files, and ``textfile``: how old and how sound those files are."""

import asyncio
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import kernelfile, prometheus
from collectors.linereader import decode
from collectors.point import Point
from configs.units import Duration, Size

if TYPE_CHECKING:
    from collectors.host import Roots

_log = logging.getLogger("pantau.host.textfile")

_SUFFIXES: Final = (".prom", ".lp")
_FOLDERS: Final = ("lib/pantau-agent/textfile", "lib/prometheus/node-exporter", "lib/node_exporter/textfile_collector")
_RESERVED: Final = "host"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``folders``: by default the agent's own and those of node_exporter's packages, as far as they exist.

    Files ``*.prom`` hold Prometheus text, ``*.lp`` line protocol. A file older than ``stale`` is reported and its values
    are no longer sent; ``max_size`` bounds a file, ``max_files`` and ``max_points`` all of them together.
    """

    folders: tuple[str, ...] = ()
    stale: Duration = Duration(26 * 3600)
    max_size: Size = Size(2**20)
    max_files: int = 100
    max_points: int = 2000


class Textfile:
    """Reads the files anew each time. Programs should write a file under another name and then rename it."""

    def __init__(self, options: Options, roots: "Roots") -> None:
        self._options = options
        self._folders = [Path(name) for name in options.folders] or [Path(roots.var, name) for name in _FOLDERS]
        self._complaints: dict[str, str] = {}

    async def collect(self, now: int) -> list[Point]:
        """Return what the files hold, and a ``textfile`` point for each. FileNotFoundError when there is no folder."""
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> list[Point]:
        points: list[Point] = []
        about: list[Point] = []
        complaints: dict[str, str] = {}
        for file in self._files():
            name = str(file)
            found: list[Point] = []
            age, wrong = 0.0, ""
            try:
                body, changed = self._body(file)
                age = max(now / 1e9 - changed, 0.0)
                if age <= self._options.stale:
                    found = _points(file.suffix, body, now, self._options.max_points - len(points))
            except (OSError, ValueError) as error:
                found, wrong = [], str(error)
                complaints[name] = wrong
            points += found
            fields = {"age": age, "stale": age > self._options.stale, "error": bool(wrong), "points": len(found)}
            about.append(Point("textfile", {"file": name}, fields, now))
        for name, wrong in complaints.items():
            if self._complaints.get(name) != wrong:
                _log.warning("%s is left out: %s", name, wrong)
        self._complaints = complaints
        return points + about

    def _files(self) -> Iterator[Path]:
        folders = [folder for folder in self._folders if folder.is_dir()]
        if not folders:
            raise kernelfile.lacking(str(self._folders[0]), "there is no such folder")
        files = [file for folder in folders for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES]
        yield from files[: self._options.max_files]

    def _body(self, file: Path) -> tuple[bytes, float]:
        """Return a file and when it was written. Opens without waiting, as somebody may leave a pipe there."""
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # noqa: PTH123 - of an open file
            told = os.fstat(opened.fileno())
            if not stat.S_ISREG(told.st_mode):
                raise ValueError("not a regular file")
            if told.st_size > self._options.max_size:
                raise ValueError(f"larger than {self._options.max_size} bytes")
            return opened.read(self._options.max_size), told.st_mtime


def _points(suffix: str, body: bytes, now: int, most: int) -> list[Point]:
    """Return the points of one file; ValueError when it is wrong somewhere, or holds more than may still be taken."""
    points = prometheus.read(body.decode("utf-8", "replace"), now) if suffix == ".prom" else _lines(body, now)
    if len(points) > most:
        raise ValueError(f"{len(points)} points are too many: {most} are left of what all files may have")
    return points


def _lines(body: bytes, now: int) -> list[Point]:
    told = decode(body, now=now)
    if told.errors:
        first = told.errors[0]
        raise ValueError(f"line {first.line}, column {first.column}: {first.why}")
    return [
        Point(
            point.measurement,
            {"exported_host" if key == _RESERVED else key: value for key, value in point.tags.items()},
            point.fields,
            point.time,
        )
        for point in told.points
    ]
