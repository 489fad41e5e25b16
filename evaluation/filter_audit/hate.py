"""Hate content rate: the share of captions with P > threshold, of all stored pairs and of those that are kept.

Birhane et al., "Into the LAION's Den: Investigating Hate in Multimodal Datasets", 2023 (arXiv 2311.03449), who took
0.5 and swept 0.1 to 0.8. Their model has three heads; here every column counts that a run has of them, and those of
the scorer `hate`. Rates of different models cannot be compared.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.config import PipelineConfig
from pipeline.decisions.over_shards import over_shards
from storage import keep_list, scores
from storage.plan import shards_of
from storage.shard import Shard

from .intervals import Share, wilson

COLUMNS = ("hateful", "targeted", "aggressive", "hate", "offensive")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


class Rate(NamedTuple):
    """The rate of one column at one threshold."""

    column: str
    threshold: float
    before: Share
    after: Share


def rates(config: PipelineConfig) -> list[Rate]:
    """Return the rates of every column that there is. A pair without a score is not counted."""
    counts: Counter[tuple[str, float, str]] = Counter()
    for counted in over_shards(partial(_count), shards_of(config.run), workers=config.workers):
        counts.update(counted)
    columns = [name for name in COLUMNS if counts[name, -1.0, "before"]]
    return [
        Rate(
            name, level, *(wilson(counts[name, level, when], counts[name, -1.0, when]) for when in ("before", "after"))
        )
        for name in columns
        for level in THRESHOLDS
    ]


def _count(shard: Shard) -> Counter[tuple[str, float, str]]:
    """Count captions above each threshold; below -1 lies none, so there all are counted."""
    keep = keep_list.read(shard, ["kept"])
    table, kept = scores.read(shard, COLUMNS, of=keep), keep["kept"].to_numpy()
    counts: Counter[tuple[str, float, str]] = Counter()
    for name in table.column_names[1:]:
        values = table[name].cast(pa.float64()).fill_null(float("nan")).to_numpy()
        for level in (-1.0, *THRESHOLDS):
            above = values > level
            counts[name, level, "before"] = int(above.sum())
            counts[name, level, "after"] = int((above & kept).sum())
    return counts


def at(found: Sequence[Rate], threshold: float = 0.5) -> list[Rate]:
    """Return those of one threshold."""
    return [rate for rate in found if np.isclose(rate.threshold, threshold)]
