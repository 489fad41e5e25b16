"""The shard step `adopt`: what lies there already becomes a shard, and from then on all is as after a download."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs import fingerprint
from configs.steps import STEPS
from pipeline.columns import without_empty_types
from pipeline.download.decoders import Decoders, decoders_of_process
from pipeline.step import LossyStep
from storage import pairs
from storage.pairs import Add, Outcome
from storage.plan import PLAN, SourceRow, remove_shards_from, sources, write_sources
from storage.shard import URLS, Shard
from storage.tables import read_mark, write_table
from storage.takedown import TAKEN_DOWN, Tombstones

from .advice import remedy
from .config import AdoptConfig
from .images import judge
from .packed import is_packed
from .samples import Problem, Sample, Source, planned_table, within
from .sources import open_source, sources_of, splits_of

VERSION = 2  # since 2 captions are normalised
LISTED = 1  # version of the list of sources
SEEN_FIRST = 1000  # samples that tell which columns there are


@dataclass(frozen=True)
class Adopt(LossyStep):
    """A tar, rows of a table or pictures -> 00042.urls.parquet, 00042.tar, 00042_stats.json, 00042.parquet."""

    entry = STEPS["adopt"]
    run: Path
    adopt: AdoptConfig

    def prepare(self) -> None:
        """List the sources in plan.parquet, unless they stand there."""
        rows = sources_of(self.adopt)
        mark, known = fingerprint("sources", LISTED, [list(row) for row in rows]), read_mark(self.run / PLAN)
        if known is not None:
            sources(self.run)  # raises for the plan of a url table, which would be lost
        if known is None or known.fingerprint != mark:
            if len(splits := splits_of(rows)) > 1:  # one of them may be there for tests alone
                print(f"adopt: the splits {', '.join(splits)} become one run; adopt.source can name one alone")
            write_sources(self.run, rows, fingerprint=mark)
            remove_shards_from(self.run, len(rows))

    def fingerprint(self, shard: Shard) -> str:
        """Cover where the shard comes from and how that looks, and what is taken from it."""
        return fingerprint("adopt", VERSION, self.adopt.made_of(), list(sources(self.run)[shard.number]))

    def __call__(self, shard: Shard) -> Counter[str]:
        """Adopt one shard; return its samples by what became of them: ok or a reason."""
        row, mark = sources(self.run)[shard.number], self.fingerprint(shard)
        unpacked = shard.path(".unpacked")
        with open_source(row, self.adopt, unpacked=unpacked) as source:
            decoders = decoders_of_process(1, self.adopt.limits)
            samples = list(source.samples())
            keys, gone = _keys(samples, row), Tombstones(self.run)
            taken = [gone.holds(key, sample.url) for key, sample in zip(keys, samples, strict=True)]
            samples = [_nothing(each) if is_taken else each for each, is_taken in zip(samples, taken, strict=True)]
            table, may_stay = planned_table(samples, keys), not is_packed(Path(row.path)) and not any(taken)
            is_linked = row.kind == "tar" and may_stay
            outcomes = _in_their_tar(samples, source, decoders, self.adopt.leave_out) if is_linked else None

            def fill(_: Sequence[dict[str, Any]], add: Add) -> None:
                judged = (each.outcome for each in judge(samples, source, decoders)) if outcomes is None else outcomes
                for outcome in judged:
                    add(outcome)

            write_table(shard.path(URLS), table, fingerprint=mark)
            tar_at = None if outcomes is None else Path(row.path)
            return pairs.write_shard(shard, table, fill, fingerprint=mark, engine="adopt", tar_at=tar_at)

    @property
    def tolerate_lost(self) -> float:
        """Return what the config says."""
        return self.adopt.tolerate_lost

    def fates(self, shard: Shard) -> pa.ChunkedArray:
        """Return the status of every sample."""
        return pairs.read(shard, ["status"])["status"]

    def example(self, shard: Shard, row: int) -> str:
        """Return a sample's url or key, and the detail."""
        return pairs.shown(shard, row)

    def remedy(self, reason: str) -> str:
        """Return what a reason means, and the key that would change it."""
        return remedy(reason, self.adopt)


def schema_of(config: AdoptConfig) -> pa.Schema:
    """Return the columns of the first samples, for rules to be checked against."""
    first = sources_of(config)[0]
    with open_source(first, config) as source:
        samples = list(islice(source.samples(), SEEN_FIRST))
    return without_empty_types(planned_table(samples, [str(number) for number in range(len(samples))])).schema


def _nothing(sample: Sample) -> Sample:
    return Sample(key=sample.key, problem=Problem(TAKEN_DOWN))


def _in_their_tar(
    samples: Sequence[Sample], source: Source, decoders: Decoders, leave_out: float
) -> list[Outcome] | None:
    """Return the outcomes of images that are used where they lie, None where too many cannot.

    leave_out: share of the samples that may be lost for it.
    """
    outcomes, others = [], 0
    for judged in judge(samples, source, decoders):
        others += not judged.is_as_it_is
        if others > leave_out * len(samples):
            return None
        outcomes.append(judged.placed())
    return outcomes


def _keys(samples: Sequence[Sample], row: SourceRow) -> list[str]:
    """Return keys that are all different, and mark the samples that come under a key of another."""
    keys, prefix = [sample.key for sample in samples], row.prefix
    if row.kind == "tar" and not prefix and not all(key.startswith(row.first_key) for key in keys):
        prefix = f"{row.first_key}-"
    return list(_all_different(samples, [within(prefix + key) for key in keys]))


def _all_different(samples: Sequence[Sample], keys: Sequence[str]) -> Iterator[str]:
    seen = Counter[str]()
    for sample, key in zip(samples, keys, strict=True):
        seen[key] += 1
        if seen[key] > 1:
            sample.problem = Problem("duplicate_key", key)
            key = f"{key}~{seen[key]}"
        yield key
