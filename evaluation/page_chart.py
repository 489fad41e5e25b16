"""Line charts as inline SVG: lines with their names at the right end, and the numbers as a table beneath.

chart([Line("noise 1", [(0, 1.0), (64, 0.4)])], title="loss", x="images seen", y="loss", scale="log")
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .html import Html, element, join

WIDTH, HEIGHT = 420, 290  # units of the drawing; small, so that its text stays readable on a phone
LEFT, RIGHT, TOP, BOTTOM = 46, 74, 14, 40
LABEL_GAP = 13  # units between two names at the right end
MAX_POINTS = 160  # of a line; more cannot be told apart
TABLE_ROWS = 12

Scale = Literal["linear", "log"]


class Line(NamedTuple):
    """One line: its name, its points (x, y) with rising x, and its place in the palette, 0 to 7."""

    name: str
    points: list[tuple[float, float]]
    color: int
    style: Literal["solid", "dashed"] = "solid"


class _Axis(NamedTuple):
    low: float
    high: float
    start: float  # where `low` is drawn
    end: float
    scale: Scale

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        low, high, value = (math.log10(v) if self.scale == "log" else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low or 1)


def chart(
    lines: Sequence[Line], *, title: str, x: str, y: str, scale: Scale = "linear", marks: Sequence[float] = ()
) -> Html:
    """A figure with its table of numbers. Points that are not finite, or not positive on a log scale, are left out.

    marks: heights of dashed lines across, for bars that are to be reached.
    """
    lines = [line._replace(points=_thin(_drawable(line.points, scale))) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return element("p", f"{title}: nothing measured yet.", class_="quiet")
    across, up = _axes(lines, marks, scale)
    drawing = element(
        "svg",
        _grid(across, up, x=x, y=y),
        [_rule(across, up, mark) for mark in marks],
        [_path(line, across, up) for line in lines],
        _names(lines, up),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: {y} over {x}, {len(lines)} lines; the numbers stand in the table below",
    )
    return element("figure", element("figcaption", title), drawing, _table(lines, x=x), class_="chart")


def _drawable(points: list[tuple[float, float]], scale: Scale) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and (y > 0 or scale == "linear")]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every n-th point, and always the last."""
    step = -(-len(points) // MAX_POINTS) or 1
    return points[:-1][::step] + points[-1:]


def _axes(lines: Sequence[Line], marks: Sequence[float], scale: Scale) -> tuple[_Axis, _Axis]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + list(marks)
    low, high = min(ys), max(ys)
    if scale == "log":
        low, high = low / 1.1, high * 1.1
    else:
        low, high = min(low, 0), (high + (high - min(low, 0)) * 0.06) or 1
    left = min(xs) if max(xs) > min(xs) else min(0.0, min(xs) - 1)  # a single place stands at the right end
    across = _Axis(left, max(xs), LEFT, WIDTH - RIGHT, "linear")
    return across, _Axis(low, high, HEIGHT - BOTTOM, TOP, scale)


def _ticks(axis: _Axis, count: int) -> list[float]:
    """Round numbers within the axis: 1, 2 or 5 times a power of ten."""
    if axis.scale == "log":
        powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5)):
            found = [f * 10.0**p for p in powers for f in factors if axis.low <= f * 10.0**p <= axis.high]
            if len(found) >= 3:
                break
        return found
    rough = (axis.high - axis.low) / count
    step = next(
        f * 10 ** math.floor(math.log10(rough))
        for f in (1, 2, 5, 10)
        if f * 10 ** math.floor(math.log10(rough)) >= rough
    )
    return [step * n for n in range(math.ceil(axis.low / step), math.floor(axis.high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number in few characters: 12k, 0.004, 1.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _grid(across: _Axis, up: _Axis, *, x: str, y: str) -> Html:
    levels, columns = _ticks(up, 5), _ticks(across, 5)
    return join(
        [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_n(up.at(v)), y2=_n(up.at(v)), class_="grid") for v in levels],
        [_text(short(v), LEFT - 6, up.at(v) + 4, "end") for v in levels],
        [_text(short(v), across.at(v), HEIGHT - BOTTOM + 16, "middle") for v in columns],
        _text(x, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle"),
        element("title", y),
    )


def _rule(across: _Axis, up: _Axis, level: float) -> Html:
    y = _n(up.at(level))
    return element("line", x1=_n(across.start), x2=_n(across.end), y1=y, y2=y, class_="mark")


def _path(line: Line, across: _Axis, up: _Axis) -> Html:
    places = [f"{_n(across.at(x))} {_n(up.at(y))}" for x, y in line.points]
    if len(places) == 1:
        cx, cy = places[0].split()
        return element("circle", cx=cx, cy=cy, r=3, class_=f"dot c{line.color}")
    return element("path", d="M" + "L".join(places), class_=f"line c{line.color} {line.style}")


def _names(lines: Sequence[Line], up: _Axis) -> Html:
    """Each line's name at the height of its end, moved apart where they would overlap."""
    wanted = sorted((up.at(line.points[-1][1]), line) for line in lines)
    heights: list[float] = []
    for height, _ in wanted:
        heights.append(max(height, heights[-1] + LABEL_GAP) if heights else height)
    over = max(heights[-1] - (HEIGHT - BOTTOM), 0)
    return join(
        _text(line.name, WIDTH - RIGHT + 6, height - over + 4, "start", f"name c{line.color}")
        for height, (_, line) in zip(heights, wanted, strict=True)
    )


def _text(said: str, x: float, y: float, anchor: str, class_: str = "tick") -> Html:
    return element("text", said, x=_n(x), y=_n(y), text_anchor=anchor, class_=class_)


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _table(lines: Sequence[Line], *, x: str) -> Html:
    """At most TABLE_ROWS rows, evenly spread."""
    values = [dict(line.points) for line in lines]
    places = sorted({place for line in values for place in line})
    step = -(-len(places) // TABLE_ROWS) or 1
    chosen = places[:-1][::step] + places[-1:]
    head = element("tr", element("th", x, scope="col"), [element("th", line.name, scope="col") for line in lines])
    rows = [
        element(
            "tr", element("th", short(p), scope="row"), [element("td", f"{v[p]:.4g}" if p in v else "") for v in values]
        )
        for p in chosen
    ]
    table = element("table", element("thead", head), element("tbody", rows))
    return element("details", element("summary", "Numbers"), element("div", table, class_="wide"), class_="numbers")
