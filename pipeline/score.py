"""score: every stored image and its caption get their numbers once.

Each image is decoded at most once for all scorers, and not at all where none of them looks at it. Scores are dear and
kept; thresholds are a matter of `select`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from configs import fingerprint
from configs.steps import STEPS
from filters.base import Batch, Scorer
from filters.scorers import ScorersConfig, build
from storage import pairs, scores
from storage.shard import PAIRS, TAR, Shard
from storage.tables import content
from storage.tar import TarReader

from .step import ShardStep
from .workers import Tally

VERSION = 1
BATCH = 64  # images decoded at a time


@dataclass(frozen=True)
class Score(ShardStep):
    """The shard step `score`."""

    entry = STEPS["score"]
    score: ScorersConfig

    @cached_property
    def scorers(self) -> list[Scorer]:
        """Build the scorers, once in each process."""
        return build(self.score)

    def fingerprint(self, shard: Shard) -> str:
        """Cover the scorers with their model files, and the shard's pairs."""
        return self.made_from(content(shard.path(PAIRS)))

    def made_from(self, pairs_content: str | None) -> str:
        """Return the fingerprint of scores of pairs with this content."""
        return fingerprint("score", VERSION, [s.fingerprint for s in self.scorers], pairs_content)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write one row for each pair of the tar, in its order: the key, and the columns of every scorer."""
        mark, stored = self.fingerprint(shard), pairs.stored(shard)
        types = {name: kind for scorer in self.scorers for name, kind in scorer.columns.items()}
        columns: dict[str, list[Any]] = {name: [] for name in types}
        tally = Tally(of=len(stored))
        for batch in self._batches(shard, stored):
            for scorer in self.scorers:
                for name, values in scorer(batch).items():
                    columns[name].extend(values)
            tally.add("scored", len(batch.captions))
        scores.write(shard, stored["key"], columns, types, fingerprint=mark)
        return Counter({"scored": len(stored)})

    def _batches(self, shard: Shard, stored: pa.Table) -> Iterator[Batch]:
        wants_images = any("images" in scorer.needs for scorer in self.scorers)
        with TarReader(shard.path(TAR)) as tar:
            for start in range(0, len(stored), BATCH):
                rows = stored.slice(start, BATCH)
                places = zip(rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist(), strict=True)
                images = [tar.image(at, size=size) for at, size in places] if wants_images else list[np.ndarray]()
                columns = {name: rows[name].to_pylist() for name in rows.column_names}
                yield Batch(images=images, captions=columns["caption"], columns=columns)
