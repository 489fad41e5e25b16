"""Which pairs are copies of which. Of a group the pair with the smallest key stays, however the rows are ordered.

Every function answers {key of a copy: key of the pair that stays}; pairs that stay are not in it.

Near copies are connected: where a is near b and b is near c, all three are one group, even if a and c are not near.
That does not depend on the order of rows, and no two pairs that stay are within the distance.
"""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .hamming import BYTES, close_pairs, join

# One statement for equal values of any kind. It sorts and spills, so it can also be run over tables larger than memory.
COPIES = """
    SELECT key, keeper FROM (
        SELECT key, min(key) OVER (PARTITION BY value) AS keeper,
               row_number() OVER (PARTITION BY value ORDER BY key) AS place
        FROM pairs WHERE value IS NOT NULL
    ) WHERE place > $keep ORDER BY key
"""


def exact_copies(keys: pa.ChunkedArray, digests: pa.ChunkedArray) -> dict[str, str]:
    """Return pairs whose stored images have equal digests. None is never a copy."""
    return _copies(keys, digests, keep=1)


def caption_copies(keys: pa.ChunkedArray, captions: pa.ChunkedArray, max_count: int | None) -> dict[str, str]:
    """Return pairs whose caption is seen more than `max_count` times (None: any number is fine).

    The `max_count` smallest keys stay; the others name the smallest one as their keeper.
    """
    return {} if max_count is None else _copies(keys, captions, keep=max_count)


def near_copies(keys: pa.ChunkedArray, pairs: pa.Table, *, distance: int, min_quality: int) -> dict[str, str]:
    """Return pairs whose images look alike: PDQ hashes at most `distance` bits apart (0 to 31).

    pairs: columns pdq (32 bytes or null) and pdq_quality, a row for each of `keys`. Hashes of less than `min_quality`
    say too little of an image and take no part. For time and memory see hamming.py.
    """
    fit = pc.and_(pc.is_valid(pairs["pdq"]), pc.greater_equal(pairs["pdq_quality"], min_quality))
    # Sorted by key, the smallest row of a group has its smallest key.
    chosen = pairs.select(["pdq"]).append_column("key", keys).filter(fit).sort_by("key")
    hashes = np.frombuffer(b"".join(chosen["pdq"].to_pylist()), np.uint8).reshape(-1, BYTES)
    groups = near_groups(hashes, distance=distance)
    copies = np.flatnonzero(groups != np.arange(len(groups)))
    names = chosen["key"]
    return dict(zip(names.take(copies).to_pylist(), names.take(groups[copies]).to_pylist(), strict=True))


def near_groups(hashes: np.ndarray, *, distance: int) -> np.ndarray:
    """Return for each of (n, 32) uint8 hashes the smallest row of its group, (n,) int64.

    Two rows are in one group if a chain of rows leads from one to the other in hops of at most `distance` bits.
    """
    if not 0 <= distance <= 31:
        raise ValueError(f"distance is {distance}; PDQ hashes further than 31 bits apart are of different images")
    if not len(hashes):
        return np.zeros(0, np.int64)
    whole = np.ascontiguousarray(hashes).view(f"S{BYTES}")[:, 0]
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    first_of_equals = first[which]  # equal hashes are one from here on: the first row that has them
    rows = np.unique(first_of_equals)
    group = np.arange(len(rows))
    for i, j in close_pairs(hashes[rows], distance=distance) if distance else ():
        group = join(group, i, j)
    return rows[group][np.searchsorted(rows, first_of_equals)]


def _copies(keys: pa.ChunkedArray, values: pa.ChunkedArray, *, keep: int) -> dict[str, str]:
    table = pa.table({"key": keys, "value": values})
    with duckdb.connect(config={"threads": 1, "python_enable_replacements": "false"}) as database:
        database.register("pairs", table)
        return dict(database.execute(COPIES, {"keep": keep}).fetchall())
