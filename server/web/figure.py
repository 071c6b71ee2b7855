"""A chart as a picture, for browsers without script. Colours are legible on light and on dark."""

from typing import Final
from xml.sax.saxutils import escape

from server.charts import Drawn
from server.web.language import Language

_WIDTH: Final = 640
_HEIGHT: Final = 220
_LEFT: Final = 56
_BOTTOM: Final = 180
_TOP: Final = 12
_COLOURS: Final = ("#0f8b8d", "#c2620e", "#7b5cd6", "#3b82c4", "#b83280", "#5f8a1f")
_INK: Final = "#7a8793"


def svg(drawn: Drawn, *, unit: str, top: float | None, spoken: Language, now: int) -> str:
    """Draw lines with a scale; a stretch longer than ``drawn.gap`` without values stays empty."""
    values = [value for line in drawn.lines for value in line.values if value is not None]
    highest = top if top is not None else max([*values, 0.0]) * 1.1 or 1.0
    first, last = drawn.start, drawn.end
    wide = (_WIDTH - _LEFT) / max(last - first, 1e-9)

    def place(time: float, value: float) -> str:
        height = _BOTTOM - min(value / highest, 1.0) * (_BOTTOM - _TOP)
        return f"{_LEFT + (time - first) * wide:.1f} {height:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
    ]
    for share in (0.0, 0.5, 1.0):
        height = _BOTTOM - share * (_BOTTOM - _TOP)
        label = escape(
            spoken.scaled(highest * share, unit)
            if unit not in {"%", "s", ""}
            else _plain(highest * share, unit, spoken)
        )
        parts.append(f'<path d="M{_LEFT} {height:.1f}H{_WIDTH}" stroke="{_INK}" stroke-opacity=".3"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end" fill="{_INK}">{label}</text>')
    if drawn.times:
        for time, anchor, x in ((first, "start", _LEFT), (last, "end", _WIDTH)):
            told = escape(spoken.clock(int(time * 1000), now))
            parts.append(f'<text x="{x}" y="{_BOTTOM + 16}" text-anchor="{anchor}" fill="{_INK}">{told}</text>')
    at = float(_LEFT)
    for position, line in enumerate(drawn.lines):
        colour = _COLOURS[position % len(_COLOURS)]
        path = ""
        before: float | None = None
        for time, value in zip(drawn.times, line.values, strict=True):
            if value is not None:
                path += ("L" if before is not None and time - before <= drawn.gap else "M") + place(time, value)
                before = time
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linecap="round"/>')
        label = escape(line.label)
        parts.append(f'<text x="{at:.0f}" y="{_BOTTOM + 34}" fill="{colour}">{label}</text>')
        at += 7 * len(line.label) + 16
    return "".join(parts) + "</svg>"


def _plain(value: float, unit: str, spoken: Language) -> str:
    if unit == "s":
        return spoken.seconds(value)
    return spoken.number(value, 0 if value >= 10 or not value else 2) + (" %" if unit == "%" else "")  # noqa: PLR2004 - two digits are enough
