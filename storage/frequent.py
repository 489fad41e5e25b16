"""frequent.parquet at the top of a run: pictures, captions and hosts that many stored pairs have, most first.

    kind ("image", "caption" or "host"), hash (uint64, the beginning of the value's digest), count, key (of one pair)

What stands under fewer pairs than `dedup.frequent` is not in it. The file goes where dedup looks for none.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .tables import read_mark, write_table

FREQUENT = "frequent.parquet"
KINDS = ("image", "caption", "host")
COLUMNS = tuple(f"{kind}_count" for kind in KINDS)  # of pairs
SCHEMA = pa.schema([("kind", pa.string()), ("hash", pa.uint64()), ("count", pa.int64()), ("key", pa.string())])


def write(run: Path, table: pa.Table, *, fingerprint: str) -> None:
    """Commit the file. table: of SCHEMA."""
    order = [("kind", "ascending"), ("count", "descending"), ("hash", "ascending")]
    write_table(run / FREQUENT, table.cast(SCHEMA).sort_by(order), fingerprint=fingerprint)


def mark(run: Path) -> str | None:
    """Return the fingerprint of what made the file, which no takedown changes; None where there is none."""
    known = read_mark(run / FREQUENT)
    return known.fingerprint if known else None


def counts_of(run: Path, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of a kind, ascending (n,) uint64, and how many pairs each stands under; none without a file."""
    try:
        stat = (run / FREQUENT).stat()
    except FileNotFoundError:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return _counts(run / FREQUENT, kind, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=len(KINDS))
def _counts(path: Path, kind: str, inode: int, size: int, changed_ns: int) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(path, columns=["hash", "count"], filters=[("kind", "=", kind)], partitioning=None)
    hashes, counts = table["hash"].to_numpy(), table["count"].to_numpy()
    order = np.argsort(hashes)
    return hashes[order], counts[order]


def forget(run: Path, gone: Callable[[pa.ChunkedArray], np.ndarray]) -> int:
    """Blank the keys of which `gone(keys)`, (n,) bool, holds; return how many. The counts stay."""
    if (known := read_mark(run / FREQUENT)) is None:
        return 0
    table = pq.read_table(run / FREQUENT, partitioning=None)
    rows = gone(table["key"])
    if rows.any():
        keys = pc.if_else(pa.array(rows), "", table["key"].combine_chunks())
        write(run, table.set_column(3, "key", keys), fingerprint=known.fingerprint)
    return int(rows.sum())
