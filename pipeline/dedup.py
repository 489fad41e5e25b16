"""dedup: which pairs are copies of which, over all shards.

Of a group of copies the smallest key stays; without the scorer pdq there are no near copies. Whether a copy is dropped
is for the rules of `select` to say. They judge the keeper, too: where they drop it for its caption, no image of its
group is left. No other choice would let a rule change without this step.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from configs import Config, UserError, fingerprint
from configs.steps import STEPS
from filters.duplicates import caption_copies, exact_copies, near_copies
from storage import duplicates, pairs, scores
from storage.plan import shards_of
from storage.shard import PAIRS, SCORES, Shard
from storage.tables import content

from .step import TableStep

VERSION = 1
HASHES = ("pdq", "pdq_quality")  # where they were scored


class DedupConfig(Config):
    """Which pairs count as the same image or the same words. Of duplicates the smallest key stays."""

    distance: int = Field(default=15, ge=0, le=31)  # PDQ bits of 256 that may differ; 31 costs ten times the time
    min_quality: int = Field(default=50, ge=0, le=100)  # flatter images have no PDQ hash worth comparing
    max_caption_count: int | None = Field(default=None, ge=1)  # a caption seen more often keeps this many; None: any


@dataclass(frozen=True)
class Dedup(TableStep):
    """The table step `dedup`."""

    entry = STEPS["dedup"]
    run: Path
    dedup: DedupConfig

    def fingerprint(self) -> str:
        """Cover the thresholds, and every shard's pairs and scores."""
        inputs = [[content(shard.path(PAIRS)), content(shard.path(SCORES))] for shard in shards_of(self.run)]
        return fingerprint("dedup", VERSION, self.dedup.model_dump(), inputs)

    def __call__(self) -> Counter[str]:
        """Find the copies of each kind."""
        mark, config = self.fingerprint(), self.dedup
        parts = [_rows(shard) for shard in shards_of(self.run)]
        if len({tuple(part.column_names) for part in parts}) > 1:
            raise UserError('only some shards are scored with pdq; run "corgi score" first')
        rows = pa.concat_tables(parts)
        keys = rows["key"]
        copies = {
            "exact": exact_copies(keys, rows["stored_sha256"]),
            "caption": caption_copies(keys, rows["caption"], config.max_caption_count),
        }
        if "pdq" in rows.column_names:
            copies["near"] = near_copies(keys, rows, distance=config.distance, min_quality=config.min_quality)
        copied_keys = pa.array({key for keepers in copies.values() for key in keepers}, pa.string())
        of_copies = rows.filter(pc.is_in(keys, value_set=copied_keys))
        shard_of = dict(zip(of_copies["key"].to_pylist(), of_copies["shard"].to_pylist(), strict=True))
        copied = [
            {"shard": shard_of[key], "key": key, "kind": kind, "keeper": keeper}
            for kind, keepers in copies.items()
            for key, keeper in keepers.items()
        ]
        duplicates.write(self.run, copied, fingerprint=mark)
        return Counter({f"{kind}_copies": len(keepers) for kind, keepers in copies.items()})


def _rows(shard: Shard) -> pa.Table:
    """Return what tells copies apart, of a shard's stored pairs."""
    stored = pairs.stored(shard, ["key", "stored_sha256", "caption"])
    stored = stored.append_column("shard", pa.array([shard.number] * len(stored), pa.int64()))
    return scores.with_scores(stored, shard, HASHES)
