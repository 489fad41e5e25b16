"""How much stays over the thresholds of a column, and pairs near them to look at.

A threshold is judged twice: alone, and beside the rules that do not ask for this column. NULL never stays.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError, nearest
from filters.rules import columns_of, failed, holds
from filters.thresholds import thresholds
from storage import keep_list
from storage.plan import shards_of
from storage.shard import KEEP, Shard

from ..config import PipelineConfig
from ..lists import unlisted
from ..runner import build
from ..select import Select, candidates_of, columns_of_lists
from .over_shards import over_shards
from .pairs_at import Place, pairs_at
from .what_if import fails_any, known_columns

Side = Literal["below", "above"]
STEPS = 20  # thresholds, if none are given
NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)  # the last: none is known
LOOKED_AT = 20  # shards of which the thresholds follow, spread over all
NEAR = 2  # pairs on either side of a threshold


class Sweep(NamedTuple):
    """A column over its thresholds."""

    column: str
    sign: str  # <, <=, > or >=: what stays compares so with a threshold
    others: list[str]  # rules that do not ask for the column
    today: list[str]  # comparisons of today's rules with it
    pairs: int
    null: int
    kept_without: int  # pairs that the others keep, whatever the column says
    thresholds: list[float]
    alone: list[int]  # pairs that stay, a threshold each
    beside: list[int]  # of them those that the others keep
    near: list[list[dict[str, Any]]]  # pairs near each threshold, by value


class _Near(NamedTuple):
    """A pair near a threshold."""

    distance: float
    value: float
    stays: bool
    place: Place


def sweep(
    config: PipelineConfig, column: str, *, at: Sequence[float] = (), side: Side | None = None, examples: bool = True
) -> Sweep:
    """Return what stays over thresholds. at: they; else they follow from what a part of the run has.

    side: what stays; None: as the rule has it that asks for the column, else above.
    Raises UserError where there is no such column of numbers.
    """
    shards = shards_of(config.run)
    known = known_columns(shards[0]) if shards else []
    if column not in known:
        raise UserError(f"no column is called {column!r}{nearest(column, known)}")
    rules = config.select.rules
    others = {name: rule for name, rule in rules.items() if column not in _columns_of(name, rule, known)}
    compared = [
        line for name, rule in rules.items() for line in thresholds(name, rule) if line.column == column.lower()
    ]
    signs = [line.sign for line in compared if line.sign != "="]
    sign = {"below": "<", "above": ">="}[side] if side else signs[0] if signs else ">="
    some = shards[:: -(-len(shards) // LOOKED_AT)]
    levels = sorted({*at}) or _levels([_values(shard, column) for shard in some], [line.value for line in compared])
    ask = partial(_ask, build("select", config), column, sign, levels, others)
    totals: dict[str, Any] = dict.fromkeys(("pairs", "null", "kept_without"), 0)
    totals |= {name: np.zeros(len(levels), np.int64) for name in ("alone", "beside")}
    near: list[list[_Near]] = [[] for _ in levels]
    for answer in over_shards(ask, shards, workers=config.workers):
        totals = {name: total + answer[name] for name, total in totals.items()}
        near = [_nearest([*before, *more]) for before, more in zip(near, answer["near"], strict=True)]
    shown = [_shown(config, column, pairs) if examples else [] for pairs in near]
    return Sweep(
        column,
        sign,
        [*others],
        [f"{line.rule}: {line}" for line in compared],
        totals["pairs"],
        totals["null"],
        totals["kept_without"],
        levels,
        totals["alone"].tolist(),
        totals["beside"].tolist(),
        shown,
    )


def _columns_of(name: str, rule: str, known: Sequence[str]) -> set[str]:
    try:
        return columns_of([{name: rule}], known)
    except UserError:
        return set()


def _values(shard: Shard, column: str) -> np.ndarray:
    """Return (n,) float64, NaN where the column is NULL; integers beyond 2^53 as the nearest that there is."""
    table = candidates_of(shard, {"key", column})
    kind = table[column].type
    if not any(test(kind) for test in NUMBERS):
        raise UserError(f"{column} is {kind}, and only a column of numbers has thresholds")
    return table[column].cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy()


def _levels(values: Sequence[np.ndarray], marks: Sequence[float]) -> list[float]:
    """Return thresholds that cut the values into parts of about one size, rounded, and those of today's rules."""
    every = np.concatenate([*values, np.zeros(0)])
    every = every[np.isfinite(every)]
    cuts = np.quantile(every, np.linspace(0, 1, STEPS + 1)) if len(every) else np.zeros(0)
    return sorted({*(float(f"{cut:.3g}") for cut in cuts), *marks})


def _stays(values: np.ndarray, sign: str, level: float) -> np.ndarray:
    tests = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
    return tests[sign](values, level)


def _ask(
    step: Select, column: str, sign: str, levels: Sequence[float], others: dict[str, str], shard: Shard
) -> dict[str, Any]:
    """Return the counts of one shard, as arrays, and for each threshold the pairs nearest to it."""
    values = _values(shard, column)
    if shard.path(KEEP).exists() and step.state(shard) == "done":
        fails = fails_any(keep_list.failed_of(shard), [*step.select.lists, *others])
    else:
        used = columns_of([others], known_columns(shard))
        table = candidates_of(shard, {"key", *used, *columns_of_lists(step.select)})
        names = failed({**unlisted(table, step.select.lists), **holds(table, others)}, len(table))
        fails = np.asarray(pc.greater(pc.list_value_length(names), 0))
    stay = [_stays(values, sign, level) for level in levels]
    return {
        "pairs": len(values),
        "null": int(np.isnan(values).sum()),
        "kept_without": int((~fails).sum()),
        "alone": np.array([each.sum() for each in stay], np.int64),
        "beside": np.array([(each & ~fails).sum() for each in stay], np.int64),
        "near": [_near(shard, values, each, level) for each, level in zip(stay, levels, strict=True)],
    }


def _near(shard: Shard, values: np.ndarray, stays: np.ndarray, level: float) -> list[_Near]:
    """Return the nearest pairs that stay, and the nearest that do not."""
    found = []
    for side in (True, False):
        rows = np.flatnonzero((stays == side) & np.isfinite(values))
        some = rows[np.argsort(np.abs(values[rows] - level), kind="stable")[:NEAR]].tolist()
        found += [_Near(abs(values[row] - level), float(values[row]), side, Place(shard.number, row)) for row in some]
    return found


def _nearest(pairs: Sequence[_Near]) -> list[_Near]:
    """Return the nearest on either side."""
    return [pair for side in (True, False) for pair in sorted(p for p in pairs if p.stays == side)[:NEAR]]


def _shown(config: PipelineConfig, column: str, near: Sequence[_Near]) -> list[dict[str, Any]]:
    """Return the pairs by value."""
    in_order = sorted(near, key=lambda each: (each.value, each.place))
    pairs = pairs_at(config.run, [each.place for each in in_order], {column})
    return [{**pair, "stays": each.stays} for pair, each in zip(pairs, in_order, strict=True)]
