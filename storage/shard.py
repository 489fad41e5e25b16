"""A shard: N planned pairs and every file made from them, side by side in one folder of a thousand.

runs/first/000/00042.urls.parquet
                   00042.tar  00042.parquet  00042_stats.json
                   00042.scores.parquet  00042.keep.parquet  00042.minilm.arrow
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from configs.steps import STEPS

FANOUT = 1000  # shards in a folder: 413 M pairs are 41,300 shards in 42 folders

(URLS,) = STEPS["plan"].also
(TAR,) = STEPS["download"].also
PAIRS = STEPS["download"].writes
STATS = "_stats.json"
SCORES = STEPS["score"].writes
KEEP = STEPS["select"].writes


@dataclass(frozen=True)
class Shard:
    """The `number`-th shard of the run in folder `run`."""

    run: Path
    number: int

    def path(self, suffix: str) -> Path:
        """Return the shard's file with this suffix, whether it exists or not."""
        return Path(self.name(suffix))

    def name(self, suffix: str) -> str:
        """Return `path` as text: for those who look at many shards, and would spend half their time on paths."""
        return self._begin + suffix

    @cached_property
    def _begin(self) -> str:
        return f"{self.run}/{self.number // FANOUT:03d}/{self.number:05d}"

    def __str__(self) -> str:
        return f"{self.number:05d}"
