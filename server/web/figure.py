"""A chart as a picture, for browsers without script. Colours are legible on light and on dark."""

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from alerts.i18n.language import Language
from alerts.i18n.shorten import shortened
from server.readmodel.charts import Drawn
from server.readmodel.units import Unit

_WIDTH: Final = 480
_LEFT: Final = 86
_BOTTOM: Final = 180
_TOP: Final = 12
_COLOURS: Final = ("#0f8b8d", "#c2620e", "#7b5cd6", "#3b82c4", "#b83280", "#5f8a1f")
_INK: Final = "#7a8793"
_LONGEST: Final = 48  # letters of a name


def svg(drawn: Drawn, *, unit: Unit, top: float | None, spoken: Language, now: int) -> str:
    """Draw lines with a scale, and name each with its newest value; a stretch longer than ``drawn.gap`` without values stays empty."""
    values = [value for line in drawn.lines for value in line.values if value is not None]
    highest = top if top is not None else _round_up(max(values, default=0.0))
    legend, height = _legend(drawn, unit, spoken)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        *_scale(highest if values else None, unit, spoken),
    ]
    for time, anchor, x in ((drawn.start, "start", _LEFT), (drawn.end, "end", _WIDTH)):
        told = escape(spoken.clock(int(time * 1000), now))
        parts.append(f'<text x="{x}" y="{_BOTTOM + 16}" text-anchor="{anchor}" fill="{_INK}">{told}</text>')
    for position, line in enumerate(drawn.lines):
        path = _path(drawn, line.values, highest)
        parts.append(
            f'<path d="{path}" fill="none" stroke="{_colour(position)}" stroke-width="2" stroke-linecap="round"/>'
        )
    if not values:
        told = escape(spoken.gettext("Tidak ada data pada rentang ini."))
        parts.append(
            f'<text x="{(_LEFT + _WIDTH) // 2}" y="{_BOTTOM // 2}" text-anchor="middle" fill="{_INK}">{told}</text>'
        )
    return "".join([*parts, *legend, "</svg>"])


def _scale(highest: float | None, unit: Unit, spoken: Language) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _BOTTOM - share * (_BOTTOM - _TOP)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH}" stroke="{_INK}" stroke-opacity=".3"/>')
        if highest is not None:
            label = escape(_told(highest * share, unit, spoken))
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{label}</text>')
    return parts


def _path(drawn: Drawn, values: Sequence[float | None], highest: float) -> str:
    wide = (_WIDTH - _LEFT) / max(drawn.end - drawn.start, 1e-9)
    path, before = "", None
    for time, value in zip(drawn.times, values, strict=True):
        if value is None:
            continue
        y = _BOTTOM - min(value / highest, 1.0) * (_BOTTOM - _TOP)
        joined = before is not None and time - before <= drawn.gap
        # a line of no length is a dot: a value without neighbours is seen, too
        path += f"{'L' if joined else 'M'}{_LEFT + (time - drawn.start) * wide:.1f} {y:.1f}{'' if joined else 'h0'}"
        before = time
    return path


def _legend(drawn: Drawn, unit: Unit, spoken: Language) -> tuple[list[str], int]:
    """Return the names of the lines, in as many rows as they need, and the height of the whole picture."""
    parts, x, y = [], _LEFT, _BOTTOM + 34
    for position, line in enumerate(drawn.lines):
        newest = next((value for value in reversed(line.values) if value is not None), None)
        text = " ".join([shortened(line.label, _LONGEST), *([] if newest is None else [_told(newest, unit, spoken)])])
        wide = 8 * len(text) + 14
        if x > _LEFT and x + wide > _WIDTH:
            x, y = _LEFT, y + 16
        parts.append(f'<text x="{x}" y="{y}" fill="{_colour(position)}">{escape(text)}</text>')
        x += wide
    return parts, y + 6


def _colour(position: int) -> str:
    return _COLOURS[position % len(_COLOURS)]


def _round_up(value: float) -> float:
    """Return the end of a scale: the next number of one digit that halves well, 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if value <= step * power * (1 + 1e-9))


def _told(value: float, unit: Unit, spoken: Language) -> str:
    return spoken.amount(value * unit.factor, unit.name)
