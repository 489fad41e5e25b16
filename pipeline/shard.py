"""A shard: N planned pairs and every file made from them, side by side in one folder of a thousand.

runs/first/000/00042.urls.parquet
                   00042.tar  00042.parquet  00042_stats.json
                   00042.scores.parquet  00042.keep.parquet  00042.minilm.arrow
"""

from dataclasses import dataclass
from pathlib import Path

FANOUT = 1000  # shards in a folder: 413 M pairs are 41,300 shards in 42 folders

URLS = ".urls.parquet"
TAR = ".tar"
PAIRS = ".parquet"
STATS = "_stats.json"
SCORES = ".scores.parquet"
KEEP = ".keep.parquet"

MADE_BY = {URLS: "plan", TAR: "download", PAIRS: "download", SCORES: "score", KEEP: "select"}
BESIDE = {PAIRS: (TAR,)}  # what a done-mark is worth nothing without


@dataclass(frozen=True)
class Shard:
    """The `number`-th shard of the run in folder `run`."""

    run: Path
    number: int

    def path(self, suffix: str) -> Path:
        """The shard's file with this suffix, whether it exists or not."""
        return self.run / f"{self.number // FANOUT:03d}" / f"{self.number:05d}{suffix}"

    def __str__(self) -> str:
        return f"{self.number:05d}"


def states_suffix(encoder: str) -> str:
    """The suffix of the text states of one encoder."""
    return f".{encoder}.arrow"
