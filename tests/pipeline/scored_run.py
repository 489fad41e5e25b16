"""Runs after `score`, of pairs of which only what tells them apart is there: no tars and no images."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs import resolve
from pipeline.config import PipelineConfig
from storage import keep_list, pairs, scores
from storage.plan import write_plan
from storage.shard import PAIRS, Shard
from storage.tables import write_table
from tests.factory import MARK

SHARD_ROWS = 20
TYPES = {"pdq": pa.binary(32), "pdq_quality": pa.int32(), "pdq_color": pa.binary(3)}
WORDS = ("a cat", "a dog", "a cat", "an owl")


def rows_of(seed: int, count: int) -> list[dict[str, Any]]:
    """Pairs by key: lost ones, copies of each kind, and images without a hash worth comparing."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        origin = rows[rng.integers(len(rows))] if rows and rng.random() < 0.5 else None
        bits = np.unpackbits(np.frombuffer(origin["pdq"], np.uint8)) if origin else rng.integers(0, 2, 256)
        bits[rng.choice(256, rng.integers(0, 20) if origin else 0, replace=False)] ^= 1
        rows.append(
            {
                "key": f"{number * 0x1234567:024x}",
                "url": f"http://h{number % 7}.test/{number}.jpg" if number % 31 else "",
                "status": pairs.OK if rng.random() < 0.9 else "http_404",
                "caption": WORDS[rng.integers(4)] if rng.random() < 0.3 else f"caption {number}",
                "stored_sha256": origin["stored_sha256"] if origin and rng.random() < 0.3 else f"{number:064x}",
                **{name: size for size, name in enumerate(keep_list.CARRIED[:-1], start=50)},
                "pdq": np.packbits(bits.astype(np.uint8)).tobytes(),
                "pdq_quality": int(rng.integers(40, 100)),
                "pdq_color": bytes([100 + 9 * (number % 2), 100, 100 + 20 * (number % 3 == 0)]),
            }
        )
    return rows


def made(run: Path, rows: list[dict[str, Any]], *, scored: bool = True, **sections: Any) -> PipelineConfig:
    """A run of these pairs after `score`."""
    shards = []
    for begin in range(0, len(rows), SHARD_ROWS):
        shard, some = Shard(run, begin // SHARD_ROWS), rows[begin : begin + SHARD_ROWS]
        write_pairs(shard, some)
        stored = pairs.stored(shard)
        ok = {name: [row[name] for row in some if row["status"] == pairs.OK] for name in TYPES}
        scores.write(shard, stored["key"], ok if scored else {}, TYPES if scored else {}, **MARK)
        shards.append({"shard": shard.number, "first_key": some[0]["key"], "pairs": len(some)})
    write_plan(run, shards, **MARK)
    return resolve(PipelineConfig, {"run": str(run), "table": ["none.parquet"], "workers": 1, **sections})


def write_pairs(shard: Shard, rows: list[dict[str, Any]]) -> None:
    """What a download left of these pairs, but for the images."""
    names = [name for name in rows[0] if name not in TYPES]
    write_table(shard.path(PAIRS), pa.table({name: [row[name] for row in rows] for name in names}), **MARK)
