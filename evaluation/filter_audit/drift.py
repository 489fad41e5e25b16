"""What differs from another run: the share of pairs that each rule takes, and how each score lies.

Scores are compared by the Kolmogorov-Smirnov distance, the largest difference of their cumulative distributions, over
a part of the shards; beyond `limit` two samples of one distribution differ once in twenty times.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.config import PipelineConfig
from pipeline.decisions.overlaps import overlaps
from storage import scores
from storage.plan import shards_of
from storage.shard import SCORES

from .intervals import Difference, Share, newcombe, wilson

LOOKED_AT = 40  # shards, spread over a run
KS_95 = 1.358  # Smirnov 1948: of sqrt(1/n + 1/m)


class RuleDrift(NamedTuple):
    """Pairs that fail a rule, whatever else they fail."""

    rule: str
    here: Share
    there: Share
    difference: Difference


class ScoreDrift(NamedTuple):
    """One column of numbers in both runs."""

    column: str
    median_here: float
    median_there: float
    distance: float  # Kolmogorov-Smirnov, 0 to 1
    limit: float


class Drift(NamedTuple):
    """All that was compared, the largest differences first."""

    rules: list[RuleDrift]
    scores: list[ScoreDrift]


def drift(here: PipelineConfig, there: PipelineConfig) -> Drift:
    """Compare two runs after `select`; rules by name, and scores by column, that both have."""
    a, b = overlaps(here), overlaps(there)
    rules = []
    for rule in [rule for rule in a.rules if rule in b.rules]:
        own, other = (wilson(each.rules[rule].alone, each.stored) for each in (a, b))
        rules.append(RuleDrift(rule, own, other, newcombe(own, other)))
    ours, theirs = _values(here), _values(there)
    columns = [_compared(name, ours[name], theirs[name]) for name in ours if name in theirs]
    return Drift(
        sorted(rules, key=lambda each: -abs(each.difference.difference)),
        sorted(columns, key=lambda each: each.limit - each.distance),
    )


def _values(config: PipelineConfig) -> dict[str, np.ndarray]:
    """Return the numbers of every scored column, of some shards."""
    shards = [shard for shard in shards_of(config.run) if shard.path(SCORES).exists()]
    parts: dict[str, list[np.ndarray]] = {}
    for shard in shards[:: max(1, -(-len(shards) // LOOKED_AT))]:
        for name, column in scores.read_numbers(shard).items():
            parts.setdefault(name, []).append(column.cast(pa.float64()).drop_null().to_numpy())
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return {name: values[np.isfinite(values)] for name, values in joined.items() if len(values)}


def _compared(name: str, ours: np.ndarray, theirs: np.ndarray) -> ScoreDrift:
    return ScoreDrift(
        name,
        float(np.median(ours)),
        float(np.median(theirs)),
        distance_of(ours, theirs),
        KS_95 * sqrt(1 / len(ours) + 1 / len(theirs)),
    )


def distance_of(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    a, b = np.sort(a), np.sort(b)
    every = np.concatenate([a, b])
    below = [np.searchsorted(values, every, "right") / len(values) for values in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
