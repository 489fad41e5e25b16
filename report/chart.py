"""Line charts: axes, ticks and names; templates/chart.html.j2 draws them as inline SVG, the numbers in a table beneath.

chart([Line("noise 1", [(0, 1.0), (64, 0.4)], 0)], title="loss", x="images seen", y="loss", scale="log")
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

LEFT, RIGHT, TOP, BOTTOM = 46, 338, 14, 250  # of 420 x 290 units, few enough that text stays readable on a phone
LABEL_GAP = 13  # units between two names at the right end
MAX_POINTS = 160  # of a line; more cannot be told apart
TABLE_ROWS = 12

Scale = Literal["linear", "log"]


class Line(NamedTuple):
    """One line: its name, its points (x, y) with rising x, and its place in the palette, 0 to 7."""

    name: str
    points: list[tuple[float, float]]
    color: int


class Axis(NamedTuple):
    """Values from low to high, drawn from start to end."""

    low: float
    high: float
    start: float
    end: float
    scale: Scale = "linear"

    def at(self, value: float) -> float:
        """Return where a value is drawn."""
        low, high, value = (math.log10(v) if self.scale == "log" else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low or 1)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round numbers within the axis: 1, 2 or 5 times a power of ten."""
        if self.scale == "log":
            return self._log_ticks()
        rough = (self.high - self.low) / count
        power = 10 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]

    def _log_ticks(self) -> list[float]:
        powers = [10.0**n for n in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)]
        powers = powers[:: -(-len(powers) // 10)]  # where there are very many, every n-th
        ticks: list[float] = []
        for factors in ((1,), (1, 3), (1, 2, 5)):
            if len(ticks) < 3:
                ticks = [f * power for power in powers for f in factors if self.low <= f * power <= self.high]
        return ticks


class Chart(NamedTuple):
    """What the template draws; nothing where there are no lines."""

    title: str
    x: str
    y: str
    lines: list[Line]
    across: Axis
    up: Axis
    names: list[tuple[float, Line]]  # heights at the right end
    rows: list[tuple[float, list[float | None]]]  # of the table: a place, and the value of each line


def chart(lines: Sequence[Line], *, title: str, x: str, y: str, scale: Scale = "linear") -> Chart:
    """Return a chart. Points that are not finite, or not positive on a log scale, are left out, and empty lines."""
    drawable = [line._replace(points=_spread(_drawable(line.points, scale), MAX_POINTS)) for line in lines]
    lines = [line for line in drawable if line.points]
    places = sorted({place for line in lines for place, _ in line.points}) or [0.0]
    first = places[0] if len(places) > 1 else min(0.0, places[0] - 1)  # a single place stands at the right end
    across, up = Axis(first, places[-1], LEFT, RIGHT), _axis_up(lines, scale)
    values = [dict(line.points) for line in lines]
    rows = [(place, [line.get(place) for line in values]) for place in _spread(places, TABLE_ROWS)]
    return Chart(title, x, y, lines, across, up, _names(lines, up), rows)


def short(value: float) -> str:
    """Return a number in few characters: 12k, 0.004, 1.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _drawable(points: list[tuple[float, float]], scale: Scale) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or scale == "linear")]


def _spread(values: list[Any], count: int) -> list[Any]:
    """Return every n-th, about `count` of them, and always the last."""
    step = -(-len(values) // count) or 1
    return values[:-1][::step] + values[-1:]


def _axis_up(lines: Sequence[Line], scale: Scale) -> Axis:
    values = [y for line in lines for _, y in line.points] or [1.0]
    if scale == "log":
        return Axis(min(values) / 1.1, max(values) * 1.1, BOTTOM, TOP, scale)
    low, high = min(*values, 0), max(*values, 0)  # with zero in it, an axis has a length
    return Axis(low, high + (high - low) * 0.06 or 1, BOTTOM, TOP)


def _names(lines: Sequence[Line], up: Axis) -> list[tuple[float, Line]]:
    """Return each line with the height of its end, moved apart where names would overlap."""
    names: list[tuple[float, Line]] = []
    for height, line in sorted((up.at(line.points[-1][1]), line) for line in lines):
        names.append((max(height, names[-1][0] + LABEL_GAP) if names else height, line))
    over = max(names[-1][0] - BOTTOM, 0) if names else 0
    return [(height - over, line) for height, line in names]
