"""duplicates.parquet at the top of a run: which pairs are copies of which, sorted by shard and key.

    shard, key, kind ("exact", "near" or "caption"), keeper

A pair stands here once for each kind in which it is a copy; the keeper of a group does not stand here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError
from configs.steps import STEPS

from .shard import Shard
from .tables import Mark, read_mark, rows_of_key, write_table

DUPLICATES = STEPS["dedup"].writes
KINDS = ("exact", "near", "caption")
COLUMNS = tuple(f"{kind}_copy" for kind in KINDS)  # of `with_copies`
SCHEMA = pa.schema([("shard", pa.int64()), ("key", pa.string()), ("kind", pa.string()), ("keeper", pa.string())])


def write(run: Path, copies: list[dict[str, Any]], *, fingerprint: str) -> None:
    """Commit the copies, one dict a row, in any order."""
    rows = sorted(copies, key=lambda copy: (copy["shard"], copy["key"], copy["kind"]))
    write_table(run / DUPLICATES, pa.Table.from_pylist(rows, schema=SCHEMA), fingerprint=fingerprint)


def mark(run: Path) -> Mark:
    """Return the file's mark. Raises UserError where it is not there."""
    if (footer := read_mark(run / DUPLICATES)) is None:
        raise UserError(f'{run / DUPLICATES} is not there; run "corgi dedup" first')
    return footer


def with_copies(pairs: pa.Table, shard: Shard) -> pa.Table:
    """Return a shard's pairs with a boolean column for each kind: exact_copy, near_copy, caption_copy."""
    copies = pq.read_table(shard.run / DUPLICATES, filters=[("shard", "=", shard.number)])
    for kind, column in zip(KINDS, COLUMNS, strict=True):
        keys = copies["key"].filter(pc.equal(copies["kind"], kind))
        pairs = pairs.append_column(column, pc.is_in(pairs["key"], value_set=keys.combine_chunks()))
    return pairs


def remove(run: Path, gone: Callable[[pa.ChunkedArray], np.ndarray]) -> int:
    """Rewrite the file without rows of which `gone(keys)`, (n,) bool, takes the key or the keeper; return how many."""
    if (footer := read_mark(run / DUPLICATES)) is None:
        return 0
    table = pq.read_table(run / DUPLICATES, partitioning=None)
    rows = gone(table["key"]) | gone(table["keeper"])
    if rows.any():
        left = table.filter(pa.array(~rows))
        write_table(run / DUPLICATES, left, fingerprint=footer.fingerprint)
    return int(rows.sum())


def copies_of(run: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows of the pair with this key."""
    return rows_of_key(run / DUPLICATES, key)
