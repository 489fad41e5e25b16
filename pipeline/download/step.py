"""The shard step `download`."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from configs import fingerprint
from configs.steps import STEPS
from pipeline.step import ShardStep
from storage import pairs
from storage.pairs import Fill, Outcome
from storage.shard import URLS, Shard
from storage.staging import settle
from storage.tables import content
from storage.takedown import TAKEN_DOWN, Tombstones

from .config import DownloadConfig
from .guarded import fetch_shard
from .img2dataset_engine import adopt_shard
from .some import asking_only

VERSION = 4  # of what the files hold; another one makes every downloaded shard stale


@dataclass(frozen=True)
class Download(ShardStep):
    """00042.urls.parquet -> 00042.tar, 00042_stats.json, 00042.parquet."""

    entry = STEPS["download"]
    download: DownloadConfig

    def fingerprint(self, shard: Shard) -> str:
        """Cover what may be fetched and how it is stored, and the planned pairs."""
        return self.made_from(content(shard.path(URLS)))

    def made_from(self, urls: str | None) -> str:
        """Return the fingerprint of a shard whose planned pairs have this content."""
        return fingerprint("download", VERSION, self.download.made_of(), urls)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Download one shard; return its pairs by what became of them: ok or a reason."""
        settle(shard)
        if self.state(shard) == "done":  # a kill came when all files were whole, and not yet in their places
            return Counter(pairs.read(shard, ["status"])["status"].to_pylist())
        planned, gone = pairs.planned(shard), Tombstones(shard.run)
        asked = np.flatnonzero(~gone.mask(planned["key"])).tolist()
        return pairs.write_shard(
            shard,
            planned,
            asking_only(asked, self.engine(shard), lambda row: Outcome(status=TAKEN_DOWN)),
            fingerprint=self.fingerprint(shard),
            engine=self.download.engine,
        )

    def engine(self, shard: Shard) -> Fill:
        """Return what fetches planned pairs of this shard: all, or some."""
        if self.download.engine == "img2dataset":
            return partial(adopt_shard, self.download, scratch=shard.path(".img2dataset"))
        return partial(fetch_shard, self.download)
