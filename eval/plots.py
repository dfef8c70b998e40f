"""Small plots as SVG text, for pages that may load nothing: a curve, and bars with intervals.

All values are in [0, 1]. Colours and type come from the page's style sheet (classes axis, line, ideal, bar, whisker),
so that a plot follows its light and dark modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 340, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 14, 40
_ROW = 26
_LABELS = 150
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve, both in [0, 1]; ``size`` is how many rows stand behind it, 0 for none shown."""

    x: float
    y: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A value in [0, 1] with its interval; None for no interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def curve(title: str, points: Sequence[Point], axes: tuple[str, str], diagonal: bool = False) -> str:
    """Points joined by a line; ``diagonal`` adds the line from (0, 0) to (1, 1)."""
    path = " ".join(f"{_x(point.x):.1f},{_y(point.y):.1f}" for point in points)
    most = max((point.size for point in points), default=0) or 1
    dots = "".join(
        f'<circle class="dot" cx="{_x(p.x):.1f}" cy="{_y(p.y):.1f}" r="{2 + 5 * (p.size / most) ** 0.5:.1f}">'
        f"<title>{p.x:.2f}, {p.y:.2f}: {p.size}</title></circle>"
        for p in points
        if p.size
    )
    ideal = f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>' if diagonal else ""
    body = f'{_axes(*axes)}{ideal}<polyline class="line" points="{path}"/>{dots}'
    return _svg(title, _WIDTH, _HEIGHT, body)


def bars(title: str, values: Sequence[Bar]) -> str:
    """One line a bar, label on the left, value on the right."""
    span = _WIDTH - 60
    rows = []
    for place, bar in enumerate(values):
        middle = _ROW * place + _ROW / 2
        whisker = ""
        if bar.low is not None and bar.high is not None:
            ends = (_LABELS + bar.low * span, _LABELS + bar.high * span)
            whisker = f'<line class="whisker" x1="{ends[0]:.1f}" y1="{middle}" x2="{ends[1]:.1f}" y2="{middle}"/>'
        rows.append(
            f'<text class="label" x="{_LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label[:24])}</text>'
            f'<rect class="bar" x="{_LABELS}" y="{middle - 8}" width="{max(bar.value, 0) * span:.1f}" height="16"/>'
            f"{whisker}"
            f'<text class="label" x="{_LABELS + span + 8}" y="{middle + 4}">{bar.value:.2f}</text>'
        )
    return _svg(title, _LABELS + span + 50, _ROW * max(1, len(values)), "".join(rows))


def _x(value: float) -> float:
    return _LEFT + value * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return _HEIGHT - _BOTTOM - value * (_HEIGHT - _TOP - _BOTTOM)


def _axes(x_label: str, y_label: str) -> str:
    ticks = [
        f'<line class="axis" x1="{_x(0)}" y1="{_y(tick):.1f}" x2="{_x(1)}" y2="{_y(tick):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        f'<text class="tick" x="{_x(tick):.1f}" y="{_y(0) + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in _TICKS
    ]
    turned = f'transform="translate(12 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)"'
    below = f'<text class="label" x="{_x(0.5)}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    beside = f'<text class="label" {turned} text-anchor="middle">{escape(y_label)}</text>'
    return "".join([*ticks, below, beside])


def _svg(title: str, width: float, height: float, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" aria-label="{escape(title)}"><title>{escape(title)}</title>{body}</svg>'
    )
