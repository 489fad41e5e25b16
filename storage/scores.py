"""00042.scores.parquet: a row for each pair of the tar, in its order: the key, and the columns of every scorer."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError

from .shard import SCORES, Shard
from .tables import check_rows, read_table, write_table


def write(
    shard: Shard,
    keys: pa.ChunkedArray,
    columns: Mapping[str, Sequence[Any]],
    types: Mapping[str, pa.DataType],
    *,
    fingerprint: str,
) -> None:
    """Commit the scores. columns: name -> a value a pair, in the order of `keys`; types: of the same names."""
    arrays = [pa.array(columns[name], type=kind) for name, kind in types.items()]
    write_table(shard.path(SCORES), pa.table([keys, *arrays], names=["key", *types]), fingerprint=fingerprint)


def read(shard: Shard, columns: Collection[str] | None = None, *, of: pa.Table) -> pa.Table:
    """Return the scores. columns: those of these names that there are; None: all.

    of: the pairs that they must belong to, row by row; else UserError.
    """
    path, wanted = shard.path(SCORES), None
    if columns is not None:
        wanted = [name for name in names(shard) if name == "key" or name in columns]
    return check_rows(read_table(path, wanted, made_by="score"), of, path=path, made_by="score")


def names(shard: Shard) -> list[str]:
    """Return what the columns are called, from the footer. Raises UserError where there are no scores."""
    try:
        return pq.read_schema(shard.path(SCORES)).names
    except FileNotFoundError:
        raise UserError(f'{shard.path(SCORES)} is not there; run "corgi score" first') from None


def with_scores(pairs: pa.Table, shard: Shard, columns: Collection[str] | None = None) -> pa.Table:
    """Return a shard's stored pairs with the columns of the scorers after their own."""
    table = read(shard, columns, of=pairs)
    for name in table.column_names[1:]:
        pairs = pairs.append_column(name, table[name])
    return pairs
