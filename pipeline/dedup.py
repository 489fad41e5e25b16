"""dedup: which pairs are copies of which, over all shards.

    duplicates.parquet   shard, key, kind ("exact", "near" or "caption"), keeper

Without the scorer pdq there is no kind "near".

A pair stands here once for each kind in which it is a copy; the keeper of a group is its smallest key and does not
stand here. Whether a copy is dropped is for the rules of `select` to say. They judge the keeper, too: where they drop
it for its caption, no picture of its group is left. No other choice would let a rule change without this step.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs import fingerprint
from filters.duplicates import caption_copies, exact_copies, near_copies

from .config import PipelineConfig
from .files import read_mark, read_table, write_table
from .plan import shards_of
from .shard import PAIRS, SCORES, Shard

VERSION = 1
DUPLICATES = "duplicates.parquet"
SCHEMA = pa.schema([("shard", pa.int64()), ("key", pa.string()), ("kind", pa.string()), ("keeper", pa.string())])


@dataclass(frozen=True)
class Dedup:
    """The table step `dedup`."""

    config: PipelineConfig
    name: str = "dedup"

    @property
    def writes(self) -> Path:
        """Sorted by shard and key, so that a shard reads its rows alone."""
        return self.config.run / DUPLICATES

    def fingerprint(self) -> str:
        """Of the thresholds, and of every shard's pairs and scores."""
        made = [[_content(shard, PAIRS), _content(shard, SCORES)] for shard in shards_of(self.config.run)]
        return fingerprint("dedup", VERSION, self.config.dedup.model_dump(), made)

    def __call__(self) -> Counter[str]:
        """Finds the copies of each kind."""
        mark, config = self.fingerprint(), self.config.dedup
        hashed = self.config.score.pdq is not None
        pairs = _gather(shards_of(self.config.run), ["pdq", "pdq_quality"] if hashed else [])
        keys = pairs["key"].to_pylist()
        found = {
            "exact": exact_copies(keys, pairs["stored_sha256"].to_pylist()),
            "caption": caption_copies(keys, pairs["caption"].to_pylist(), config.max_caption_count),
        }
        if hashed:
            found["near"] = near_copies(keys, pairs, distance=config.distance, min_quality=config.min_quality)
        shard_of = dict(zip(keys, pairs["shard"].to_pylist(), strict=True))
        rows = [
            {"shard": shard_of[key], "key": key, "kind": kind, "keeper": keeper}
            for kind, copies in found.items()
            for key, keeper in copies.items()
        ]
        rows.sort(key=lambda row: (row["shard"], row["key"], row["kind"]))
        write_table(self.writes, pa.Table.from_pylist(rows, schema=SCHEMA), fingerprint=mark)
        return Counter({f"{kind}_copies": len(copies) for kind, copies in found.items()})


def _content(shard: Shard, suffix: str) -> str | None:
    mark = read_mark(shard.path(suffix))
    return mark.content if mark else None


def _gather(shards: list[Shard], wanted: list[str]) -> pa.Table:
    """What tells copies apart, of all stored pairs: shard, key, stored_sha256, caption and the `wanted` scores."""
    parts = []
    for shard in shards:
        pairs = read_table(shard.path(PAIRS), ["key", "stored_sha256", "caption", "status"], made_by="download")
        pairs = pairs.filter(pc.equal(pairs["status"], "ok")).drop_columns("status")
        scores = read_table(shard.path(SCORES), wanted, made_by="score")
        number = pa.array([shard.number] * len(pairs), pa.int64())
        parts.append(pa.table({"shard": number, **_columns(pairs), **_columns(scores)}))
    return pa.concat_tables(parts)


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}
