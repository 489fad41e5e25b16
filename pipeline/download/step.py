"""The shard step `download`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from configs import fingerprint, fingerprints
from configs.steps import STEPS
from pipeline.step import LossyStep, State
from pipeline.workers import spread, tallied
from storage import pairs
from storage.pairs import Fill, Outcome
from storage.shard import PAIRS, STATS, URLS, Shard
from storage.staging import settle
from storage.stats import asked_with as asked_before
from storage.tables import content, read_mark
from storage.takedown import TAKEN_DOWN, Tombstones

from .advice import remedy
from .config import DownloadConfig
from .guarded import DECODERS, fetch_shard
from .img2dataset_engine import adopt_shard
from .loosened import asked_with, loosened, made_of
from .some import ask_again, asking_only, lost_for

VERSION = 4  # of what the files hold; another one makes every downloaded shard stale


@dataclass(frozen=True)
class Download(LossyStep):
    """00042.urls.parquet -> 00042.tar, 00042_stats.json, 00042.parquet."""

    entry = STEPS["download"]
    download: DownloadConfig

    def fingerprint(self, shard: Shard) -> str:
        """Cover what may be fetched and how it is stored, and the planned pairs."""
        return self.made_from(content(shard.name(URLS)))

    def made_from(self, urls: str | None) -> str:
        """Return the fingerprint of a shard whose planned pairs have this content."""
        return self._fingerprint_of(urls)

    def state(self, shard: Shard) -> State:
        """Return where a shard stands; one is stale, too, where pairs may come that were turned away before."""
        state = super().state(shard)
        if state == "done" and (reasons := self.may_come(shard)) and lost_for(shard, reasons):
            return "stale"
        return state

    def may_come(self, shard: Shard) -> tuple[str, ...] | None:
        """Return the reasons for which a finished shard lost pairs that may come by today's config.

        None where it is of another config or plan, so that all of it would be asked for.
        """
        mark, before, now = read_mark(shard.name(PAIRS)), asked_before(shard.path(STATS)), self._asked_with
        if before is None or before == now:  # as for nearly all shards, which are looked at quickly
            return () if mark is not None and mark.fingerprint == self.fingerprint(shard) else None
        made_before = made_of(self.download, before)
        if mark is None or mark.fingerprint != _fingerprint(made_before, content(shard.path(URLS))):
            return () if mark is not None and mark.fingerprint == self.fingerprint(shard) else None
        return loosened(before, now)

    @cached_property
    def _fingerprint_of(self) -> Callable[[str | None], str]:
        return fingerprints("download", VERSION, self.download.made_of())

    @cached_property
    def _asked_with(self) -> dict[str, Any]:
        return asked_with(self.download)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Download one shard, or ask again for what may come now; return the pairs that were asked for, by fate."""
        settle(shard)
        state = self.state(shard)
        if state == "done":  # a kill came when all files were whole, and not yet in their places
            return Counter(pairs.read(shard, ["status"])["status"].to_pylist())
        if state == "stale" and (reasons := self.may_come(shard)) is not None:
            return self.ask_again(shard, reasons)
        planned, gone = pairs.planned(shard), Tombstones(shard.run)
        asked = np.flatnonzero(~gone.mask(planned["key"])).tolist()
        return pairs.write_shard(
            shard,
            planned,
            asking_only(asked, self._engine(shard, self.download), lambda row: Outcome(status=TAKEN_DOWN)),
            fingerprint=self.fingerprint(shard),
            engine=self.download.engine,
            asked_with=asked_with(self.download),
        )

    def ask_again(self, shard: Shard, reasons: Sequence[str]) -> Counter[str]:
        """Ask again for the pairs that a finished shard lost for these reasons; return what became of them."""
        # What is left to ask for may well be dead altogether, and says nothing of this machine's network.
        config = self.download.model_copy(update={"stop_after_hosts": 0})
        return ask_again(
            shard,
            lost_for(shard, reasons),
            self._engine(shard, config),
            name=config.engine,
            fingerprint=self.fingerprint(shard),
            asked_with=asked_with(config),
        )

    def _engine(self, shard: Shard, config: DownloadConfig) -> Fill:
        if config.engine == "img2dataset":
            return tallied(partial(adopt_shard, config, scratch=shard.path(".img2dataset")))
        return tallied(partial(fetch_shard, config, decoders=DECODERS * spread()))

    @property
    def tolerate_lost(self) -> float:
        """Return what the config says."""
        return self.download.tolerate_lost

    def fates(self, shard: Shard) -> pa.ChunkedArray:
        """Return the status of every planned pair."""
        return pairs.read(shard, ["status"])["status"]

    def example(self, shard: Shard, row: int) -> str:
        """Return a pair's url and detail."""
        return pairs.shown(shard, row)

    def remedy(self, reason: str) -> str:
        """Return what a reason means, and the keys that would change it."""
        return remedy(reason, self.download)


def _fingerprint(made_of: Mapping[str, Any], urls: str | None) -> str:
    return fingerprint("download", VERSION, dict(made_of), urls)
