"""duplicates.parquet at the top of a run: which pairs are copies of which, sorted by shard and key.

    shard, key, kind ("exact", "near" or "caption"), keeper

A pair stands here once for each kind in which it is a copy; the keeper of a group does not stand here. Of a large run
the file has millions of rows: it is written in parts, and a shard's rows are found by the footer, read once a process.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError
from configs.steps import STEPS

from .atomic import commit
from .shard import Shard
from .tables import Mark, read_mark, rows_of_key, write_tables
from .typed import typed

Found = TypeVar("Found")
DUPLICATES = STEPS["dedup"].writes
KINDS = ("exact", "near", "caption")
COLUMNS = tuple(f"{kind}_copy" for kind in KINDS)  # of `with_copies`
SCHEMA = pa.schema([("shard", pa.int64()), ("key", pa.string()), ("kind", pa.string()), ("keeper", pa.string())])


class PartFiles:
    """Parts of the file that were written one by one, in order; read one by one, as often as wanted."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[pa.Table]:
        return (pq.read_table(path, partitioning=None) for path in self._paths)

    def count(self, kind: str) -> int:
        """Return how many copies of a kind there are."""
        return sum(pc.sum(pc.equal(table["kind"], kind)).as_py() or 0 for table in self)


def write_part(path: Path, columns: Sequence[pa.Array]) -> None:
    """Commit some rows, sorted by shard, key and kind, to be read by PartFiles."""
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    commit(path, lambda scratch: pq.write_table(table, scratch, compression="zstd"))


def write(run: Path, parts: Iterable[pa.Table], *, fingerprint: str) -> None:
    """Commit the copies. parts: tables of SCHEMA, all sorted by shard, key and kind; gone through twice."""
    write_tables(run / DUPLICATES, parts, SCHEMA, fingerprint=fingerprint)


class _Footer(NamedTuple):
    """Where the row groups lie, and which shards the row groups are of."""

    metadata: pq.FileMetaData
    first: np.ndarray
    last: np.ndarray


def mark(run: Path) -> Mark:
    """Return the file's mark. Raises UserError where it is not there."""
    mark = _as_it_is(_mark, run / DUPLICATES)
    if mark is None:
        raise UserError(f'{run / DUPLICATES} is not there; run "{typed(run, "dedup")}" first')
    return mark


def with_copies(pairs: pa.Table, shard: Shard) -> pa.Table:
    """Return a shard's pairs with a boolean column for each kind: exact_copy, near_copy, caption_copy."""
    copies = _of_shard(shard)
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
        write(run, [left], fingerprint=footer.fingerprint)
    return int(rows.sum())


def copies_of(run: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows of the pair with this key."""
    return rows_of_key(run / DUPLICATES, key)


def _of_shard(shard: Shard) -> pa.Table:
    """Return the rows of a shard: only the row groups are read that have any."""
    footer = _as_it_is(_footer, shard.run / DUPLICATES)
    if footer is None:
        raise FileNotFoundError(shard.run / DUPLICATES)
    groups = np.flatnonzero((footer.first <= shard.number) & (shard.number <= footer.last)).tolist()
    with pq.ParquetFile(shard.run / DUPLICATES, metadata=footer.metadata) as file:
        copies = file.read_row_groups(groups, columns=["shard", "key", "kind"])
    return copies.filter(pc.equal(copies["shard"], shard.number))


def _as_it_is(read: Callable[[Path, int, int, int], Found], path: Path) -> Found | None:
    """Return what is read of the file as it is now, None where it is absent or torn."""
    try:
        stat = path.stat()
        return read(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError, pa.ArrowInvalid):
        return None


@lru_cache(maxsize=1)
def _mark(path: Path, inode: int, size: int, changed_ns: int) -> Mark | None:
    """Read the mark, which every shard asks for, once for as long as the file is the same; the footer is long."""
    return read_mark(path)


@lru_cache(maxsize=1)
def _footer(path: Path, inode: int, size: int, changed_ns: int) -> _Footer:
    """Read the footer; it is parsed once for as long as the file is the same."""
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
    shards = [(group.min, group.max) if group and group.has_min_max else (0, -1) for group in groups]
    first, last = np.array(shards, np.int64).reshape(-1, 2).T
    return _Footer(metadata, first, last)
