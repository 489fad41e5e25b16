"""Which lines of a ledger are told, and as which numbers.

A tracker's history grows and is never taken back, and a ledger is only appended to. So what is told of some lines must
not depend on those that follow: the number of its line is a place that a line keeps for ever. A training that goes on
from step 100 after it was killed at 150 takes fifty steps again; they were told, and are not told twice.
"""

from collections.abc import Iterable, Iterator
from typing import Any

MEASURED = ("step", "validation", "grid", "checkpoint")  # of a training: once a step
ABOUT = ("event", "step", "seen", "time", "rank", "machine")  # of a line, and no figure

Line = dict[str, Any]


def told(lines: Iterable[Line]) -> Iterator[tuple[int, Line]]:
    """Yield the lines that are told, each with its number among all."""
    reached: dict[str, int] = {}
    for number, line in enumerate(lines):
        event, step = line["event"], line.get("step")
        if event in MEASURED and isinstance(step, int):
            if step <= reached.get(event, -1):
                continue
            reached[event] = step
        yield number, line


def of_training(line: Line) -> dict[str, float]:
    """Return a line's figures by event/name, lists of measured values by place, beside `step` and `seen`."""
    figures: dict[str, float] = {"step": line.get("step", 0), "seen": line.get("seen", 0)}
    figures[f"{line['event']}/times"] = 1  # else a line without figures, as a restart, would be nothing
    _flatten({name: value for name, value in line.items() if name not in ABOUT}, line["event"], figures)
    return figures


def of_step(line: Line) -> dict[str, float]:
    """Return what one call of a pipeline's step came to: shards, seconds, pairs by reason, and their rate."""
    figures: dict[str, float] = {}
    for name, value in line.items():
        if name not in ABOUT:
            _flatten(value, name, figures)
    if (pairs := pairs_of(line)) and line.get("seconds"):
        figures["pairs_per_s"] = pairs / line["seconds"]
    if (share := share_kept(line)) is not None:
        figures["share_kept"] = share
    return figures


def pairs_of(line: Line) -> int:
    """Return how many pairs a call of a step counted."""
    return sum(line.get("counts", {}).values())


def share_kept(line: Line) -> float | None:
    """Return the share of pairs that a call of a step let through; None where it judged none."""
    counts = line.get("counts", {})
    kept = next((counts[name] for name in ("kept", "ok") if name in counts), None)
    return None if kept is None else kept / pairs_of(line)


def _flatten(value: Any, name: str, figures: dict[str, float]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{name}/{key}", figures)
    elif isinstance(value, list) and any(isinstance(inner, float) for inner in value):  # by noise level; not positions
        _flatten({str(place): inner for place, inner in enumerate(value)}, name, figures)
    elif isinstance(value, (int, float)):
        figures[name] = value
