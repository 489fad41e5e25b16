"""00042.keep.parquet: a row for each pair of the tar, in its order: kept or not, and every rule that it failed.

key, kept, failed, held_out, <stage>..., and what training needs of the pair: where it lies, its size, its caption

A stage's column, for stages that add rules, says which pairs the stage trains on.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import fates, footers
from .pairs import OK
from .shard import KEEP, Shard
from .tables import check_rows, read_mark, read_table, rewrite_table, write_table

CARRIED = ("tar_offset", "tar_size", "stored_width", "stored_height", "caption")  # from the pairs
TRAIN = "train"  # not a column: kept and not held out
KEPT = footers.KEPT  # metadata: digest of the kept keys and captions, all that `embed` depends on


def write(
    shard: Shard,
    pairs: pa.Table,
    *,
    failed: pa.ListArray,
    held_out: pa.Array,
    stages: Mapping[str, pa.Array],
    fingerprint: str,
) -> None:
    """Commit a keep-list. failed: for each pair the rules that it failed; held_out, stages: bool, one a pair."""
    kept = pc.equal(pc.list_value_length(failed), 0)
    held_out = pc.and_(kept, held_out)
    trained = pc.and_not(kept, held_out)
    columns = {
        "key": pairs["key"],
        "kept": kept,
        "failed": failed,
        "held_out": held_out,
    }
    columns |= {stage: pc.and_(trained, fits) for stage, fits in stages.items()}
    table = pa.table({**columns, **{name: pairs[name] for name in CARRIED}})
    write_table(shard.path(KEEP), table, fingerprint=fingerprint, metadata=_summary_of(table))


def read(shard: Shard, columns: list[str] | None = None, *, of: pa.Table | None = None) -> pa.Table:
    """Return the keep-list. of: the pairs that it must belong to, row by row; else UserError."""
    names = None if columns is None else ["key", *(name for name in columns if name != "key")]
    table = read_table(shard.path(KEEP), names, made_by="select")
    return table if of is None else check_rows(table, of, path=shard.path(KEEP), made_by="select")


def failed_of(shard: Shard) -> pa.ListArray:
    """Return for each pair the rules that it failed; no other column is read."""
    failed = read_table(shard.path(KEEP), ["failed"], made_by="select")["failed"].combine_chunks()
    return failed.chunk(0) if isinstance(failed, pa.ChunkedArray) else failed


def remove(shard: Shard, gone: np.ndarray) -> None:
    """Rewrite a keep-list without the rows `gone`, (n,) bool, although its pairs may have moved in the tar.

    It keeps its fingerprint, so it is stale where they did.
    """
    path = shard.path(KEEP)
    table = read(shard).filter(pa.array(~gone))
    mark = read_mark(path)
    rewrite_table(path, table, fingerprint=mark.fingerprint if mark else "", metadata=_summary_of(table))


def first_failed(table: pa.Table) -> pa.Array:
    """Return the first rule that each pair failed, ok where it failed none."""
    return pa.array([names[0] if names else OK for names in table["failed"].to_pylist()], pa.string())


def _summary_of(table: pa.Table) -> dict[str, str]:
    kept_pairs = json.dumps([table[name].filter(table["kept"]).to_pylist() for name in ("key", "caption")])
    return {KEPT: sha256(kept_pairs.encode()).hexdigest(), **fates.as_metadata(first_failed(table))}


def kept_digest(shard: Shard) -> str | None:
    """Return the digest of the kept keys and captions; None where there is no keep-list."""
    return footers.values(shard.name(KEEP), KEPT)[0]


def stages_of(shard: Shard) -> list[str]:
    """Return the stages that have a column of their own."""
    fixed = {"key", "kept", "failed", "held_out", *CARRIED}
    return [name for name in pq.read_schema(shard.path(KEEP)).names if name not in fixed]


def trained_on(keep: pa.Table, column: str) -> np.ndarray:
    """Return (n,) bool: which pairs are trained on. column: "train", or a stage's own."""
    return (pc.and_not(keep["kept"], keep["held_out"]) if column == TRAIN else keep[column]).to_numpy()


def validated_on(keep: pa.Table) -> np.ndarray:
    """Return (n,) bool: which pairs are held out."""
    return pc.and_(keep["kept"], keep["held_out"]).to_numpy()
