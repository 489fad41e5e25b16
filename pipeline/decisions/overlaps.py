"""The funnel of a run, rule by rule: what each takes alone, uniquely and in order, and which take the same pairs.

Everything follows from one count: how many pairs failed exactly this set of rules.
"""

from collections import Counter
from itertools import combinations
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage import keep_list, pairs
from storage.plan import dropped_reasons, shards_of
from storage.shard import KEEP, PAIRS, URLS, Shard

from ..config import PipelineConfig
from .over_shards import over_shards


class RuleCounts(NamedTuple):
    """What one rule takes of the pairs that have an image."""

    alone: int  # pairs that fail it, whatever else they fail
    uniquely: int  # pairs that fail it and nothing else: what comes back without it
    in_order: int  # pairs that fail it first
    left: int  # pairs that are left after it, in order


class Overlaps(NamedTuple):
    """A run's losses, in the order of a pair's way."""

    planned_away: dict[str, int]  # reason -> rows of the table
    not_stored: dict[str, int]  # reason -> pairs that the download lost
    waiting: int  # pairs that are not fetched, or not judged yet
    stored: int  # pairs that are judged
    rules: dict[str, RuleCounts]
    together: dict[tuple[str, str], int]  # two rules -> pairs that fail both, the most frequent first
    kept: int


class _Counts(NamedTuple):
    """Of one shard."""

    lost: Counter[str]
    waiting: int
    patterns: Counter[str]  # names of failed rules with commas between -> pairs


def overlaps(config: PipelineConfig) -> Overlaps:
    """Count all pairs of a run. Rules stand in the order of the config, then those of keep-lists that are stale."""
    lost, patterns, waiting = Counter[str](), Counter[str](), 0
    for counts in over_shards(_count, shards_of(config.run), workers=config.workers):
        lost, patterns, waiting = lost + counts.lost, patterns + counts.patterns, waiting + counts.waiting
    sets = {tuple(filter(None, text.split(","))): count for text, count in patterns.items()}
    names = dict.fromkeys(
        [*config.select.lists, *config.select.rules, *sorted({name for names in sets for name in names})]
    )
    rules, left = {}, sum(sets.values())
    for name in names:
        first = sum(count for failed, count in sets.items() if failed[:1] == (name,))
        left -= first
        alone = sum(count for failed, count in sets.items() if name in failed)
        rules[name] = RuleCounts(alone, sets.get((name,), 0), first, left)
    together = Counter[tuple[str, str]]()
    for failed, count in sets.items():
        for pair in combinations(failed, 2):
            together[pair] += count
    return Overlaps(
        dict(dropped_reasons(config.run).most_common()),
        dict(lost.most_common()),
        waiting,
        sum(sets.values()),
        rules,
        dict(sorted(together.items(), key=lambda each: (-each[1], each[0]))),
        sets.get((), 0),
    )


def as_json(counted: Overlaps) -> dict[str, Any]:
    """Return the counts with names alone as keys."""
    together = [{"rules": [*both], "pairs": count} for both, count in counted.together.items()]
    rules = {name: counts._asdict() for name, counts in counted.rules.items()}
    return {**counted._asdict(), "rules": rules, "together": together}


def _count(shard: Shard) -> _Counts:
    if not shard.path(PAIRS).exists():
        return _Counts(Counter(), pq.read_metadata(shard.path(URLS)).num_rows, Counter())
    status = pairs.read(shard, ["status"])["status"]
    lost = Counter({each["values"]: each["counts"] for each in status.value_counts().to_pylist()})
    stored = lost.pop(pairs.OK, 0)
    if not shard.path(KEEP).exists():
        return _Counts(lost, stored, Counter())
    sets = pc.binary_join(keep_list.failed_of(shard), ",")
    return _Counts(
        lost, 0, Counter({each["values"]: each["counts"] for each in pa.array(sets).value_counts().to_pylist()})
    )
