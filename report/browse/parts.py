"""What can be looked through: shards of a run, exports of every kind, and whatever else `adopt` could take.

A part is as much as is held in memory at once. A picture is one read away: by its offset in a tar, or by its row group
in a table. Nothing is unpacked or copied, and only labels are ever written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from configs import UserError
from pipeline.adopt.config import AdoptConfig
from pipeline.adopt.packed import is_packed
from pipeline.adopt.samples import Sample, typed_column
from pipeline.adopt.sources import open_source, sources_of
from pipeline.captions import normalised
from pipeline.config import PipelineConfig
from pipeline.select import candidates_of
from pipeline.status import config_of
from storage import keep_list, pairs
from storage.duplicates import DUPLICATES
from storage.exports import SPLITS
from storage.plan import PLAN, SourceRow, shards_of
from storage.run import CONFIG
from storage.shard import KEEP, PAIRS, SCORES, TAR, Shard
from storage.tar import TarReader
from storage.typed import typed

HELD = 4  # parts in memory
OWN = ("key", "url", "caption")
ADOPT = AdoptConfig()


class Part(Protocol):
    """Some pairs with pictures."""

    def table(self) -> pa.Table:
        """Return key, url, caption and all further columns that there are."""

    def failed(self) -> list[list[str]]:
        """Return the rules that each pair failed; of pairs that no rule was asked for none."""

    def image(self, row: int) -> bytes:
        """Return a picture as it is stored."""


class Source(NamedTuple):
    """All that is looked through."""

    folder: Path
    parts: tuple[Part, ...]
    rules: Mapping[str, str]  # of `select`, by which pairs are veiled and labelled
    lists: tuple[str, ...] = ()


def source_of(folder: Path) -> Source:
    """Return what there is in the folder of a run, of an export, or of tars, tables or pictures of anybody.

    Raises UserError where there is nothing to look at.
    """
    if (folder / CONFIG).exists():
        return of_run(config_of(folder))
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one of a run, an export, or tars")
    splits = [folder / split for split in SPLITS if (folder / split / PLAN).exists()]
    shards = [shard for split in splits for shard in shards_of(split) if shard.path(PAIRS).exists()]
    if shards:  # an export of tars
        return Source(folder, tuple(map(ShardPart, shards)), {})
    rows = sources_of(AdoptConfig(source=(folder,)))
    if packed := [row.path for row in rows if is_packed(Path(row.path))]:
        raise UserError(f"{packed[0]} is packed, so no picture of it is one read away; unpack it")
    return Source(folder, tuple(map(SourcePart, rows)), {})


def of_run(config: PipelineConfig) -> Source:
    """Return the pairs of a run. Raises UserError before `download`."""
    parts = [ShardPart(shard) for shard in shards_of(config.run) if shard.path(PAIRS).exists()]
    if not parts:
        raise UserError(f'{config.run} has no pictures; run "{typed(config.run, "download")}" first')
    return Source(config.run, tuple(parts), config.select.rules, tuple(config.select.lists))


@dataclass(frozen=True)
class ShardPart:
    """A shard of a run, or of an export of tars."""

    shard: Shard

    def table(self) -> pa.Table:
        """Return all columns of its pairs that there are by now."""
        return _of_shard(self.shard)

    def failed(self) -> list[list[str]]:
        """Return what the keep-list says, if there is one."""
        return _failed(self.shard)

    def image(self, row: int) -> bytes:
        """Return the JPEG at its offset in the tar."""
        table = self.table()
        with TarReader(self.shard.path(TAR)) as tar:
            return tar.read(table["tar_offset"][row].as_py(), size=table["tar_size"][row].as_py())


@dataclass(frozen=True)
class SourcePart:
    """A tar, some row groups of a table, or some pictures: as `adopt` reads them."""

    row: SourceRow

    def table(self) -> pa.Table:
        """Return the columns of its samples that hold one value each."""
        return _of_source(self.row)[0]

    def failed(self) -> list[list[str]]:
        """Return that none is known to fail."""
        return [[]] * len(self.table())

    def image(self, row: int) -> bytes:
        """Return the bytes of the picture, whatever its format."""
        with open_source(self.row, ADOPT) as source:
            return source.read(_of_source(self.row)[1][row])


@lru_cache(maxsize=HELD)
def _of_shard(shard: Shard) -> pa.Table:
    is_scored = shard.path(SCORES).exists() and (shard.run / DUPLICATES).exists()
    return candidates_of(shard) if is_scored else pairs.stored(shard)


@lru_cache(maxsize=HELD)
def _failed(shard: Shard) -> list[list[str]]:
    if not shard.path(KEEP).exists():
        return [[]] * len(_of_shard(shard))
    failed: list[list[str]] = keep_list.failed_of(shard).to_pylist()
    return failed


@lru_cache(maxsize=HELD)
def _of_source(row: SourceRow) -> tuple[pa.Table, list[Any]]:
    """Return the samples that have a picture, and where it lies."""
    with open_source(row, ADOPT) as source:
        samples = [sample for sample in source.samples() if sample.place is not None]
    told = [{name: value for name, value in sample.fields.items() if _is_shown(name, value)} for sample in samples]
    columns = {
        "key": pa.array([_key(sample) for sample in samples], pa.string()),
        "url": pa.array([sample.url for sample in samples], pa.string()),
        "caption": pa.array([normalised(sample.caption) for sample in samples], pa.string()),
    }
    for name in dict.fromkeys(name for fields in told for name in fields):
        columns[name] = typed_column([fields.get(name) for fields in told])
    return pa.table(columns), [sample.place for sample in samples]


def _is_shown(name: str, value: Any) -> bool:
    """Tell whether a field of a sample becomes a column: no vector, no bytes, and nothing that has one already."""
    return name.lower() not in OWN and not isinstance(value, list | dict | bytes)


def _key(sample: Sample) -> str:
    """Return the key by which the pair was known, where the source tells: rows of a table have numbers alone."""
    return str(sample.fields.get("key") or sample.key)
