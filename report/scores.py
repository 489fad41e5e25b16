"""Histograms of what the scorers found, with the thresholds of the rules drawn in."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from filters.thresholds import Threshold, thresholds
from pipeline.config import PipelineConfig
from pipeline.select import candidates_of
from storage import scores
from storage.duplicates import DUPLICATES
from storage.plan import shards_of
from storage.shard import SCORES, Shard

from .chart import BOTTOM, LEFT, RIGHT, TOP, Axis

SHARDS = 64  # at most that are looked at, spread over all
BARS = 40
MOST = 24  # histograms
TRIM = 0.5  # percent on either side that may lie beyond the ends, and are counted in the last bars


class Line(NamedTuple):
    """A threshold within a histogram."""

    threshold: Threshold
    lost: int  # values for which the comparison does not hold


class Histogram(NamedTuple):
    """One column."""

    name: str
    values: int
    missing: int
    across: Axis
    up: Axis  # of counts, from 0.5 on, so that a single one can be seen
    bars: list[tuple[float, float, int]]  # from, to, count
    lines: list[Line]


def histograms(config: PipelineConfig) -> list[Histogram]:
    """Return a histogram for each column of numbers that a scorer made or a rule compares; none before `score`."""
    shards = [shard for shard in shards_of(config.run) if shard.path(SCORES).exists()]
    if not shards or not (config.run / DUPLICATES).exists():
        return []
    lines = _thresholds(config)
    tables = [_table(shard, {line.column for line in lines}) for shard in shards[:: -(-len(shards) // SHARDS)]]
    table = pa.concat_tables(tables, promote_options="default")
    found = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if _is_number(column.type):
            values = column.drop_null().to_numpy().astype(float)
            own = [line for line in lines if line.column == name.lower()]
            found.append(histogram(name, values, own, missing=column.null_count))
    by_use = sorted((each for each in found if each), key=lambda each: not each.lines)
    return by_use[:MOST]


def histogram(name: str, values: np.ndarray, lines: Sequence[Threshold], *, missing: int = 0) -> Histogram | None:
    """Return the histogram of some numbers; None where there are none that are finite."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = _ends(values, [line.value for line in lines])
    edges = np.linspace(low, high, BARS + 1)
    counts, _ = np.histogram(values.clip(low, high), edges)
    bars = [(float(a), float(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]
    drawn = [Line(line, int((~_holds(values, line)).sum())) for line in lines]
    up = Axis(0.5, max(int(counts.max()), 1) * 1.3, BOTTOM, TOP, "log")
    return Histogram(name, len(values), missing, Axis(low, high, LEFT, RIGHT), up, bars, drawn)


def _ends(values: np.ndarray, marks: Sequence[float]) -> tuple[float, float]:
    """Return where the histogram begins and ends: most of the values lie between, and every threshold."""
    low, high = (float(end) for end in np.percentile(values, [TRIM, 100 - TRIM]))
    low, high = min([low, *marks]), max([high, *marks])
    if math.isclose(low, high):
        return low - 0.5, high + 0.5
    room = (high - low) * 0.03 if marks else 0
    return low - room, high + room


def _holds(values: np.ndarray, line: Threshold) -> np.ndarray:
    tests = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal}
    return tests[line.sign](values, line.value)


def _thresholds(config: PipelineConfig) -> list[Threshold]:
    rules = [*config.select.rules.items()]
    rules += [(f"{stage}.{name}", rule) for stage, own in config.select.stages.items() for name, rule in own.items()]
    return [line for name, rule in rules for line in thresholds(name, rule)]


def _table(shard: Shard, compared: set[str]) -> pa.Table:
    wanted = {*scores.names(shard), *compared} | {"key"}
    table = candidates_of(shard, wanted)
    return table.select([name for name in dict.fromkeys(table.column_names) if name != "key"])


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
