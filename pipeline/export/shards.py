"""Which rows of a run make up an exported shard, and everything that is known of them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

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
    """The chosen pairs of one part."""

    def __init__(self, chosen: Chosen, part: Part) -> None:
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
        table = self.pairs.drop_columns(ours)
        return table.drop_columns([field.name for field in table.schema if _is_bytes(field.type)])


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
