"""The report's drawings: small SVG made from numbers, in the page's own colours.

Bars and whiskers use percentages, so that they stretch with the page while text keeps its size. Every drawing has a
title for those who cannot see it, and nothing is said by colour alone.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from markupsafe import Markup, escape

POINTS = 200  # of a curve: more cannot be seen at this size
DASHES = ("", "6 3", "2 3", "9 3 2 3")


class Curve(NamedTuple):
    """One run's losses, on its training rows and on rows it did not see: each ``(step, loss)``."""

    train: list[tuple[int, float]]
    unseen: list[tuple[int, float]]


def interval_row(
    title: str, value: float, ends: tuple[float, float], scale: tuple[float, float], mark: float, dot: str = ""
) -> Markup:
    """A bar from the left end of the scale, or a dot of that class, its interval as a line, and a mark on the scale."""

    def at(number: float) -> str:
        left, right = scale
        return f"{100 * (min(max(number, left), right) - left) / (right - left):.2f}%"

    bar = f'<rect class="bar" x="0" y="4" width="{at(value)}" height="12"/>'
    parts = [
        "" if dot else bar,
        f'<line class="mark" x1="{at(mark)}" x2="{at(mark)}" y1="0" y2="20"/>',
        f'<line class="whisker" x1="{at(ends[0])}" x2="{at(ends[1])}" y1="10" y2="10"/>',
        f'<circle class="{dot}" cx="{at(value)}" cy="10" r="4.5"/>' if dot else "",
    ]
    return _svg('class="row"', title, parts)


def loss_chart(
    title: str, curves: Sequence[Curve], last_step: int, top: float, axes: tuple[str, str], say: Callable[[float], str]
) -> Markup:
    """Curves on axes from 0 to ``last_step`` and 0 to ``top``, shared by all charts of a page.

    ``axes``: the names of the steps and of the losses; ``say`` writes a number of an axis.
    """
    width, height, left, bottom = 360, 210, 34, 34
    across, up = width - left - 8, height - bottom - 12

    def place(step: float, loss: float) -> tuple[float, float]:
        return left + across * step / last_step, 12 + up * (1 - min(loss / top, 1.0))

    parts = []
    for tick in _ticks(top, 5):
        y = place(0, tick)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{say(tick)}</text>')
    for tick in _ticks(last_step, 4):
        x = place(tick, 0)[0]
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 14}" text-anchor="middle">{say(tick)}</text>')
    parts.append(f'<text x="{left + across / 2:.0f}" y="{height - 4}" text-anchor="middle">{escape(axes[0])}</text>')
    parts.append(f'<text x="{left - 28}" y="9">{escape(axes[1])}</text>')
    for number, curve in enumerate(curves):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _thinned(curve.train)))
        dashes = DASHES[number % len(DASHES)]
        parts.append(f'<polyline class="line c{number % 4}" stroke-dasharray="{dashes}" points="{points}"/>')
        for x, y in (place(*point) for point in _thinned(curve.unseen)):
            parts.append(f'<circle class="unseen c{number % 4}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return _svg(f'class="chart" viewBox="0 0 {width} {height}"', title, parts)


def key_line(number: int) -> Markup:
    """A short piece of the line that `loss_chart` draws for the curve of that number."""
    line = f'class="line c{number % 4}" stroke-dasharray="{DASHES[number % 4]}" x1="1" x2="33" y1="5" y2="5"'
    return Markup(f'<svg class="key" width="34" height="10" aria-hidden="true"><line {line}/></svg>')


def heat_strip(title: str, cells: Mapping[tuple[str, int], float], top: float, axis: str) -> Markup:
    """One cell for each (module, layer), stronger the nearer its value is to ``top``; layers from left to right."""
    names, layers = list(dict.fromkeys(name for name, _ in cells)), sorted({layer for _, layer in cells})
    left, step, row = 74, min(16.0, 272 / len(layers)), 15
    width, height = left + step * len(layers) + 6, row * len(names) + 30
    parts = [
        f'<text x="{left - 5}" y="{row * at + 11}" text-anchor="end">{escape(name)}</text>'
        for at, name in enumerate(names)
    ]
    for (name, layer), value in cells.items():
        shade = 0.06 + 0.94 * min(value / top, 1.0) if top > 0 else 0.06
        x, y = left + step * layers.index(layer), row * names.index(name)
        size = f'width="{step - 0.8:.1f}" height="{row - 1}"'
        parts.append(f'<rect class="heat" x="{x:.1f}" y="{y}" {size} fill-opacity="{shade:.2f}"/>')
    for at in range(0, len(layers), ceil(len(layers) / 8)):
        x, y = left + step * (at + 0.5), row * len(names) + 12
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{layers[at]}</text>')
    parts.append(f'<text x="{left}" y="{height - 3}">{escape(axis)}</text>')
    return _svg(f'class="chart" viewBox="0 0 {width:.0f} {height}"', title, parts)


def _svg(attributes: str, title: str, body: Sequence[str]) -> Markup:
    frame = Markup(f'<svg {attributes} role="img" aria-label="{{0}}"><title>{{0}}</title>{{1}}</svg>')
    return frame.format(title, Markup("".join(body)))


def _ticks(top: float, wanted: int) -> list[float]:
    """Round numbers from 0 to ``top``, about ``wanted`` of them."""
    size = 10 ** floor(log10(top / wanted))
    step = next(size * factor for factor in (1, 2, 5, 10) if top / (size * factor) <= wanted)
    return [step * number for number in range(floor(top / step + 1e-9) + 1)]


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `POINTS` of the points, evenly taken, the last one always."""
    return points if len(points) <= POINTS else [*points[:: ceil(len(points) / (POINTS - 1))], points[-1]]
