"""Which rows of a run make up an exported shard, and everything that is known of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError
from storage import keep_list, pairs, scores
from storage.exports import Part
from storage.shard import PAIRS, TAR, Shard
from storage.tables import content
from storage.tar import TarReader
from storage.text_embeds import TextEmbedsFile


class Chosen(NamedTuple):
    """Which kept pairs are exported as one of the splits."""

    run: Path
    split: str  # train or held_out
    column: str  # of the keep-list: "train", or a stage's own

    def mask(self, keep: pa.Table) -> np.ndarray:
        """Return (n,) bool over the rows of a keep-list."""
        return keep_list.validated_on(keep) if self.split == "held_out" else keep_list.trained_on(keep, self.column)


def keep_of(shard: Shard, column: str) -> pa.Table:
    """Return what a keep-list says of pairs that may be chosen. Raises UserError where the stage has no column."""
    own = [] if column == keep_list.TRAIN else [column]
    if own and column not in (stages := keep_list.stages_of(shard)):
        known = ", ".join(stages) or "none"
        raise UserError(f"{column!r} is no stage with rules of its own in select.stages; there are: {known}")
    return keep_list.read(shard, ["kept", "held_out", *own])


class Rows:
    """The chosen pairs of one part. types: as `shared_types` has them."""

    def __init__(self, chosen: Chosen, part: Part, types: Mapping[str, pa.DataType]) -> None:
        self._types = types
        self.shard = Shard(chosen.run, part.shard)
        stored = pairs.stored(self.shard)
        keep = keep_list.read(self.shard, of=stored)
        places = np.flatnonzero(chosen.mask(keep))[part.begin : part.end]
        self._kept_rank = np.cumsum(keep["kept"].to_numpy())[places] - 1  # embeds are stored for the kept pairs only
        rows = pa.array(places)
        self.keep = keep.take(rows)
        self.pairs = scores.with_scores(stored, self.shard).take(rows)

    def images(self) -> Iterator[bytes]:
        """Yield the stored bytes of each image."""
        with TarReader(self.shard.path(TAR)) as tar:
            places = zip(self.pairs["tar_offset"].to_pylist(), self.pairs["tar_size"].to_pylist(), strict=True)
            yield from (tar.read(offset, size=size) for offset, size in places)

    def text_embeds(self, encoder: str, caption: str | None = None) -> Iterator[np.ndarray]:
        """Yield (tokens, width) uint16 of each caption, the bits of bfloat16. caption: as of TextEmbedsFile."""
        file = TextEmbedsFile(self.shard, encoder, caption)
        keys = self.pairs["key"].to_pylist()
        yield from (file.at(int(row), key=key) for row, key in zip(self._kept_rank, keys, strict=True))

    @cached_property
    def further(self) -> pa.Table:
        """Return key, url, caption, the table's further columns, and the scores that are no bytes."""
        ours = [name for name in pairs.COLUMNS.names if name in self.pairs.column_names]
        table = _fitted(self.pairs.drop_columns(ours), self._types)
        return table.drop_columns([field.name for field in table.schema if _is_bytes(field.type)])


def shared_types(shards: Sequence[Shard]) -> dict[str, pa.DataType]:
    """Return the further columns of a run's pairs with types that suit all shards; nothing where these are alike.

    Adopted shards need not be: a field may be a number in one tar, a word in the next, and not there in a third.
    """
    schemas = [_further(shard) for shard in shards]
    if all(schema == schemas[0] for schema in schemas):
        return {}
    types: dict[str, pa.DataType] = {}
    for shard, schema in zip(shards, schemas, strict=True):
        for field in schema:
            known = types.setdefault(field.name, pa.null())
            if known != field.type and not _says_nothing(shard, field):
                types[field.name] = _type_of_both(known, field.type)
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in types.items()}


def _further(shard: Shard) -> pa.Schema:
    fields = pq.read_schema(shard.path(PAIRS)).remove_metadata()
    return pa.schema([field for field in fields if field.name not in pairs.COLUMNS.names])


def _says_nothing(shard: Shard, field: pa.Field) -> bool:
    """Tell whether a shard knows no value of a column, which is called one of truth values then."""
    if not pa.types.is_boolean(field.type):
        return False
    column = pairs.read(shard, [field.name])[field.name]
    return bool(column.null_count == len(column))


def _type_of_both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both: text, if there is none else."""
    if pa.types.is_null(one):
        return other
    are_numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (one, other))
    return pa.float64() if are_numbers else pa.string()


def _fitted(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return a table with all columns of these names first, in these types."""
    nothing = pa.nulls(len(table))
    columns = {
        name: (table[name] if name in table.column_names else nothing).cast(kind) for name, kind in types.items()
    }
    return pa.table({**columns, **{name: table[name] for name in table.column_names if name not in columns}})


def _is_bytes(kind: pa.DataType) -> bool:
    """Tell whether a column holds bytes, as a hash: JSON has none, and `datasets` before 5 none of a fixed size."""
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def content_of(part: Part, run: Path, suffixes: Sequence[str]) -> list[object]:
    """Return what an export of this part depends on."""
    shard = Shard(run, part.shard)
    return [list(part), *(content(shard.path(suffix)) for suffix in (PAIRS, *suffixes))]


def cut(counts: Sequence[int], size: int) -> list[list[Part]]:
    """Return the parts of exported shards of `size` pairs at most, whose sizes differ by one at most, in order."""
    total = sum(counts)
    shards = -(-total // size)
    ends = [total * (number + 1) // shards for number in range(shards)]
    cuts: list[list[Part]] = [[] for _ in ends]
    at, number = 0, 0
    for shard, count in enumerate(counts):
        begin = 0
        while begin < count:
            end = min(count, begin + ends[number] - at)
            cuts[number].append(Part(shard, begin, end))
            at, begin = at + end - begin, end
            number += at == ends[number]
    return cuts
