"""index: one row a shard, the only thing the loader reads at its start.

index.parquet   shard, tar, pairs, kept, train, held_out, <stage>..., tokens, and the content of each file
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError, fingerprint

from .config import PipelineConfig
from .embed import Embed
from .files import read_mark, read_metadata, read_table, write_table
from .plan import shards_of
from .shard import KEEP, PAIRS, TAR, Shard

VERSION = 1
INDEX = "index.parquet"


@dataclass(frozen=True)
class Index:
    """The table step `index`."""

    config: PipelineConfig
    name: str = "index"

    @property
    def writes(self) -> Path:
        """At the top of the run folder."""
        return self.config.run / INDEX

    def fingerprint(self) -> str:
        """Of every shard's pairs, keep-list and states, and of how the states were made."""
        made = [self._contents(shard) for shard in shards_of(self.config.run)]
        return fingerprint("index", VERSION, self.config.embed.text.made_with(), made)

    def __call__(self) -> Counter[str]:
        """Counts and digests of all shards."""
        mark, shards = self.fingerprint(), shards_of(self.config.run)
        table = pa.Table.from_pylist([self._row(shard) for shard in shards])
        states = read_metadata(shards[0].path(self._states))
        metadata = {
            "corgi.encoder": self.config.embed.text.name,
            "corgi.width": states["corgi.width"],
            "corgi.text": json.dumps(self.config.embed.text.made_with(), sort_keys=True),
            "corgi.stages": json.dumps(list(self.config.select.stages)),
        }
        write_table(self.writes, table, fingerprint=mark, metadata=metadata)
        return Counter({name: pc.sum(table[name]).as_py() for name in ("kept", "train", "held_out")})

    @property
    def _embed(self) -> Embed:
        return Embed(self.config.embed.text)

    @property
    def _states(self) -> str:
        return self._embed.writes

    def _contents(self, shard: Shard) -> dict[str, str]:
        made = {"download": PAIRS, "select": KEEP, "embed": self._states}
        marks = {step: read_mark(shard.path(suffix)) for step, suffix in made.items()}
        for step, mark in marks.items():
            if mark is None:
                raise UserError(f'{shard.path(made[step])} is not there; run "corgi {step}" first')
        states = marks["embed"]
        if states and states.fingerprint != self._embed.fingerprint(shard):
            raise UserError(f'{shard.path(self._states)} is not of the pairs kept now; run "corgi embed" first')
        names = ("content_pairs", "content_keep", "content_states")
        return {name: mark.content for name, mark in zip(names, marks.values(), strict=True) if mark}

    def _row(self, shard: Shard) -> dict[str, object]:
        keep = read_table(shard.path(KEEP), made_by="select")
        with pa.memory_map(str(shard.path(self._states))) as source:
            tokens = pc.sum(pa.ipc.open_file(source).read_all()["tokens"]).as_py() or 0
        counts = {
            "kept": keep["kept"],
            "train": pc.and_not(keep["kept"], keep["held_out"]),
            "held_out": keep["held_out"],
        }
        counts |= {stage: keep[stage] for stage in self.config.select.stages}
        return {
            "shard": shard.number,
            "tar": str(shard.path(TAR).relative_to(self.config.run)),
            "pairs": len(keep),
            **{name: pc.sum(column).as_py() or 0 for name, column in counts.items()},
            "tokens": tokens,
            **self._contents(shard),
        }
