"""``pantau store copy``: from the embedded store into the InfluxDB of the settings, with a bar that shows how far it is."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alerts.i18n.catalogue import LanguageCode
from alerts.i18n.times import hours_minutes_seconds
from configs.units import Duration
from server.cli import owner
from server.cli.store_words import speaking, tell
from server.store import StoreUnavailable, copying
from server.store.copying import Copy, Progress
from server.store.embedded import export
from server.store.embedded.store import Embedded
from server.store.embedded.store import Options as EmbeddedOptions
from server.store.influx.connection import Options
from server.store.influx.ql import ROLLED
from server.store.influx.store import Influx
from server.store.spooled import SpooledInflux

_POINTS: Final = "points.duckdb"
_FILE: Final = "copied.json"
# whatever the settings said when it was in use, nothing of it is dropped now
_EVER: Final = Duration(10**9)
_KEEP: Final = EmbeddedOptions(raw=_EVER, minutes=_EVER, five_minutes=_EVER)
_WIDTH: Final = 30
_EVERY: Final = 10  # per cent, where there is no terminal
_SPARE: Final = 3600 * 10**9  # what the target may drop while we copy


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 0 when everything is there, 1 when not, 2 when it cannot begin."""
    known = owner.read(arguments.settings)
    language = speaking(arguments.lang or known.site.language)
    buckets = {bucket.name: bucket for bucket in known.buckets().only(arguments.bucket)}
    targets = {name: one.store for name, one in buckets.items() if isinstance(one.store, SpooledInflux)}
    if not targets:
        return _refused("settings_embedded", {}, language)
    filled = {name: target for name, target in targets.items() if (target.folder / _POINTS).exists()}
    if not filled:
        return _refused("nothing", {"folder": str(next(iter(targets.values())).folder)}, language)
    code = 0
    for name, target in filled.items():
        if len(buckets) > 1:
            print(f"{name}:")
        kept = int(buckets[name].retention * 10**9)
        code = max(code, asyncio.run(_copy(target.folder, target.options, kept, language, again=arguments.again)))
    return code


def _refused(what: str, values: dict[str, str | int | float], language: LanguageCode) -> int:
    print(tell("bad", what, values, language), file=sys.stderr)
    return 2


async def _copy(folder: Path, options: Options, kept: int, language: LanguageCode, *, again: bool) -> int:
    source, target = Embedded(_KEEP, folder), Influx(options, folder)
    try:
        try:
            await source.open()
        except StoreUnavailable as error:
            return _refused("in_use", {"why": str(error)}, language)
        try:
            await target.open()
            roll_ups = bool(options.raw) and await target.has_roll_ups()
        except StoreUnavailable as error:
            return _refused("away", {"why": str(error)}, language)
        if options.raw and not roll_ups:
            return _refused("kept_missing", {"name": f"{options.bucket}/{ROLLED}"}, language)
        return await _run(source, target, folder, options, kept, language, again=again)
    finally:
        await target.close()
        await source.close()


async def _run(
    source: Embedded, target: Influx, folder: Path, options: Options, kept: int, language: LanguageCode, *, again: bool
) -> int:
    name = f"{options.url} {options.org}/{options.bucket}/{options.policy}"
    file = folder / _FILE
    progress = Progress(name) if again else await asyncio.to_thread(copying.load, file, name)
    hours = len(await source.read(export.hours))
    if progress.hours:
        print(tell("note", "continued", {"done": progress.hours, "hours": hours}, language))
    now = time.time_ns()
    oldest = now - kept + min(_SPARE, kept // 10)
    raw_from = max(oldest, now - options.raw.ms * 1_000_000 + _SPARE) if options.raw else oldest
    copy = Copy(source, target, file, raw_from=raw_from, oldest=oldest, roll_ups=bool(options.raw))
    show = _Bar(progress.values) if sys.stderr.isatty() else _Lines()
    try:
        await copy.run(progress, show)
    except StoreUnavailable as error:
        print(tell("bad", "stopped", {"why": str(error)}, language), file=sys.stderr)
        return 1
    return _ended(progress, language)


def _ended(progress: Progress, language: LanguageCode) -> int:
    told: dict[str, str | int | float]
    if progress.refused:
        told = {"count": progress.refused, "why": progress.refusal}
        print(tell("bad", "refused_fields", told, language), file=sys.stderr)
    if progress.left_out:
        print(tell("note", "left_out", {"hours": progress.left_out}, language))
    for one in progress.examples:
        hour = time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(one.hour / 1e9))
        told = {
            "hour": hour,
            "measurement": one.measurement,
            "field": one.field,
            "there": one.there,
            "wanted": one.wanted,
        }
        print(tell("bad", "fewer", told, language), file=sys.stderr)
    if progress.fewer:
        print(tell("bad", "not_whole", {"count": progress.fewer}, language), file=sys.stderr)
        return 1
    told = {"hours": progress.hours, "points": progress.points, "values": progress.values, "rolled": progress.rolled}
    print(tell("well", "copied", told, language))
    return 0


Show = Callable[[Progress, int], None]


class _Bar:
    """A bar on a terminal: how much is done, how fast, and how long it may take yet."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._start = time.monotonic()
        self._hours = 0

    def __call__(self, progress: Progress, left: int) -> None:
        self._hours += 1
        took = time.monotonic() - self._start
        share = self._hours / (self._hours + left)
        bar = "#" * round(share * _WIDTH)
        speed = (progress.values - self._before) / 1e6 / max(took, 0.001)
        rest = hours_minutes_seconds(round(took / self._hours * left) * 1000)
        line = f"[{bar:.<{_WIDTH}}] {share:4.0%}  {progress.values / 1e6:.1f} M, {speed:.2f} M/s, -{rest}"
        print(f"\r{line}", end="" if left else "\n", file=sys.stderr, flush=True)


class _Lines:
    """A line at every tenth, for a log."""

    def __init__(self) -> None:
        self._hours = 0
        self._told = 0

    def __call__(self, progress: Progress, left: int) -> None:
        self._hours += 1
        share = 100 * self._hours // (self._hours + left)
        if share >= self._told + _EVERY:
            self._told = share - share % _EVERY
            print(f"{share}%, {progress.values} values", file=sys.stderr, flush=True)
