"""00042.scores.parquet: a row for each pair of the tar, in its order: the key, and the columns of every scorer.

The footer says which scorer made which columns, so that a further scorer is added beside them: what the others made is
taken over as it is, to the same bytes of their columns.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError

from .shard import SCORES, Shard
from .tables import check_rows, read_metadata, read_table, write_table
from .typed import typed

MADE_BY, OF_PAIRS = "corgi.scorers", "corgi.pairs"  # metadata


class Made(NamedTuple):
    """What one scorer made."""

    fingerprint: str
    columns: tuple[str, ...]


def write(
    shard: Shard,
    keys: pa.ChunkedArray,
    columns: Mapping[str, Sequence[Any]],
    types: Mapping[str, pa.DataType],
    *,
    fingerprint: str,
    made: Mapping[str, Made] | None = None,
    of_pairs: str | None = None,
) -> None:
    """Commit the scores. columns: name -> a value a pair, in the order of `keys`; types: of the same names.

    made: by the name of each scorer; of_pairs: content of the pairs that the scores are of.
    """
    arrays = [_array(columns[name], kind) for name, kind in types.items()]
    metadata = {MADE_BY: json.dumps({name: [*each] for name, each in (made or {}).items()}), OF_PAIRS: of_pairs or ""}
    table = pa.table([keys, *arrays], names=["key", *types])
    write_table(shard.path(SCORES), table, fingerprint=fingerprint, metadata=metadata if made else None)


def _array(values: Any, kind: pa.DataType) -> Any:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type=kind)


def made_of(shard: Shard, pairs_content: str | None) -> dict[str, Made]:
    """Return what each scorer made for the pairs of this content, from the footer; nothing where they are of others."""
    metadata = read_metadata(shard.path(SCORES))
    if not pairs_content or metadata.get(OF_PAIRS) != pairs_content:
        return {}
    made = json.loads(metadata.get(MADE_BY, "{}"))
    return {name: Made(fingerprint, tuple(columns)) for name, (fingerprint, columns) in made.items()}


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
        raise UserError(f'{shard.path(SCORES)} is not there; run "{typed(shard.run, "score")}" first') from None


def with_scores(pairs: pa.Table, shard: Shard, columns: Collection[str] | None = None) -> pa.Table:
    """Return a shard's stored pairs with the columns of the scorers after their own."""
    table = read(shard, columns, of=pairs)
    for name in table.column_names[1:]:
        pairs = pairs.append_column(name, table[name])
    return pairs


def read_numbers(shard: Shard) -> dict[str, pa.ChunkedArray]:
    """Return the columns that are numbers, by name."""
    schema = pq.read_schema(shard.path(SCORES))
    numbers = [each.name for each in schema if pa.types.is_integer(each.type) or pa.types.is_floating(each.type)]
    table = read_table(shard.path(SCORES), numbers, made_by="score")
    return {name: table[name] for name in numbers}
