"""The shard step `download`."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

from configs import fingerprint
from pipeline.files import read_mark, read_table
from pipeline.shard import PAIRS, URLS, Shard

from .config import DownloadConfig
from .guarded import fetch_shard
from .img2dataset_engine import adopt_shard
from .record import write_shard

VERSION = 1  # of what the files hold; another one makes every downloaded shard stale


@dataclass(frozen=True)
class Download:
    """00042.urls.parquet -> 00042.tar, 00042_stats.json, 00042.parquet."""

    config: DownloadConfig
    name: str = "download"
    reads: tuple[str, ...] = (URLS,)
    writes: str = PAIRS

    def fingerprint(self, shard: Shard) -> str:
        """Of what may be fetched and how it is stored, and of the planned pairs."""
        mark = read_mark(shard.path(URLS))
        return fingerprint("download", VERSION, self.config.made_of(), mark and mark.content)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Downloads one shard; returns its pairs by what became of them: ok or a reason."""
        pairs = read_table(shard.path(URLS), made_by="plan")
        engine = fetch_shard
        if self.config.engine == "img2dataset":
            engine = partial(adopt_shard, scratch=shard.path(".img2dataset"))
        return write_shard(
            shard,
            pairs,
            partial(engine, self.config),
            fingerprint=self.fingerprint(shard),
            engine=self.config.engine,
        )
