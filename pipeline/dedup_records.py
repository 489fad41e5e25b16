"""Records that dedup spreads over its parts, and what they are read from: a shard's keys, and digests of values."""

import numpy as np
import pyarrow as pa

from configs import UserError
from filters.duplicates import digests
from filters.hamming import BYTES
from storage import pairs
from storage.shard import PAIRS, Shard
from storage.typed import typed

from .plan import KEY_CHARS

DIGEST = np.dtype([("words", np.uint64, (2,)), ("id", np.int64)])
HASH = np.dtype([("words", np.uint64, (BYTES // 8,)), ("id", np.int64)])
COPY = np.dtype([("id", np.int64), ("keeper", np.int64)])
LINK = np.dtype((np.int64, (2,)))
COLOR = np.dtype((np.uint8, (3,)))
PIXELS = "image_digest"  # of the scores: images that differ in no pixel are exact copies, whatever their bytes
VALUES = {"exact": "stored_sha256", "caption": "caption", "host": "url"}  # kind -> the column that is digested


def records_of(dtype: np.dtype, *columns: np.ndarray) -> np.ndarray:
    """Return (n,) records of a dtype, from a column for each of its fields."""
    records = np.zeros(len(columns[0]), dtype)
    for name, values in zip(dtype.names or (), columns, strict=True):
        records[name] = values
    return records


def keys_in(table: pa.Table, shard: Shard, first_key: str | None, count: int) -> np.ndarray:
    """Return the keys of a shard, (n,) bytes. Raises UserError unless they are those that were planned, by what shows.

    first_key: of a shard that was planned from a url table; None: of one that was adopted.
    """
    texts = table["key"].to_pylist()
    keys = np.array(texts, bytes)
    is_whole = len(keys) == count
    if is_whole and first_key is not None:
        is_whole = texts[0] == first_key and {*map(len, texts)} == {KEY_CHARS} and bool((keys[1:] > keys[:-1]).all())
    if not is_whole:
        raise UserError(
            f'{shard.path(PAIRS)} is not of the pairs that are planned now; run "{typed(shard.run, "download")}" first'
        )
    return keys


def values_of(kind: str, stored: pa.Table, scored: pa.Table) -> pa.ChunkedArray:
    """Return the texts in which copies of a kind are equal, NULL for none. scored: the scores of the stored pairs."""
    if kind == "host":
        texts = [pairs.host_of(url or "") or None for url in stored[VALUES[kind]].to_pylist()]
    elif kind == "exact" and PIXELS in scored.column_names:
        texts = [value and value.hex() for value in scored[PIXELS].to_pylist()]
    else:
        return stored[VALUES[kind]]
    return pa.chunked_array([texts], pa.string())


def digests_of(values: pa.ChunkedArray, ids: np.ndarray) -> np.ndarray:
    """Return the digests of all values that are there."""
    is_there = values.is_valid().to_numpy()
    return records_of(DIGEST, digests(values.drop_null().to_pylist()), ids[is_there])
