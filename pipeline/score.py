"""score: every stored picture and its caption get their numbers once.

Each picture is decoded once for all scorers. Scores are dear and kept; thresholds are a matter of `select`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import fingerprint
from filters.base import Batch, Scorer
from filters.scorers import ScorersConfig, build

from .files import read_mark, read_table, write_table
from .pictures import decode, read_member
from .shard import PAIRS, SCORES, TAR, Shard

VERSION = 1
BATCH = 64  # pictures decoded at a time


@dataclass(frozen=True)
class Score:
    """The shard step `score`."""

    config: ScorersConfig
    name: str = "score"
    reads: tuple[str, ...] = (TAR, PAIRS)
    writes: str = SCORES

    @cached_property
    def scorers(self) -> list[Scorer]:
        """Loaded once in each process."""
        return build(self.config)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "scorers"}

    def fingerprint(self, shard: Shard) -> str:
        """Of the scorers with their model files, and of the shard's pairs."""
        pairs = read_mark(shard.path(PAIRS))
        return fingerprint("score", VERSION, [s.fingerprint for s in self.scorers], pairs.content if pairs else None)

    def __call__(self, shard: Shard) -> Counter[str]:
        """One row for each pair of the tar, in its order: the key, and the columns of every scorer."""
        mark = self.fingerprint(shard)
        pairs = read_table(shard.path(PAIRS), made_by="download")
        stored = pairs.filter(pc.equal(pairs["status"], "ok"))
        types = {name: kind for scorer in self.scorers for name, kind in scorer.columns.items()}
        found: dict[str, list[object]] = {name: [] for name in types}
        for batch in _batches(shard.path(TAR), stored):
            for scorer in self.scorers:
                for name, values in scorer(batch).items():
                    found[name].extend(values)
        columns = [pa.array(found[name], type=kind) for name, kind in types.items()]
        write_table(shard.path(SCORES), pa.table([stored["key"], *columns], names=["key", *types]), fingerprint=mark)
        return Counter({"scored": len(stored)})


def _batches(tar: Path, stored: pa.Table) -> Iterator[Batch]:
    with tar.open("rb") as file:
        for start in range(0, len(stored), BATCH):
            rows = stored.slice(start, BATCH)
            places = zip(rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist(), strict=True)
            images: list[np.ndarray] = [decode(read_member(file, offset, size)) for offset, size in places]
            columns = {name: rows[name].to_pylist() for name in rows.column_names}
            yield Batch(images=images, captions=columns["caption"], columns=columns)
