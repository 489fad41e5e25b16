"""index: one row a shard, the only thing the loader reads at its start."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs import UserError, fingerprint
from configs.steps import STEPS
from storage import index, keep_list
from storage.footers import side_by_side
from storage.plan import shards_of
from storage.shard import KEEP, PAIRS, Shard
from storage.tables import read_mark
from storage.text_embeds import TextEmbedsFile
from storage.typed import typed

from .embed import Embed, EmbedConfig
from .progress import Progress, pace
from .step import TableStep

VERSION = 2


@dataclass(frozen=True)
class Index(TableStep):
    """The table step `index`. Its config is that of the embeds, which it describes."""

    entry = STEPS["index"]
    run: Path
    embed: EmbedConfig

    def fingerprint(self) -> str:
        """Cover every shard's pairs, keep-list and embeds, and how the embeds were made."""
        inputs = side_by_side(self._contents, shards_of(self.run))
        return fingerprint("index", VERSION, self.embed.text.made_with(), inputs)

    def __call__(self) -> Counter[str]:
        """Write counts and digests of all shards."""
        mark, shards, encoder = self.fingerprint(), shards_of(self.run), self.embed.text.name
        rows = list(self._rows(shards, encoder))
        index.write(
            self.run,
            rows,
            fingerprint=mark,
            encoder=encoder,
            width=TextEmbedsFile(shards[0], encoder).width,
            text=self.embed.text.made_with(),
            stages=keep_list.stages_of(shards[0]),
            captions=self.embed.captions,
        )
        return Counter({name: sum(row[name] for row in rows) for name in ("kept", "train", "held_out")})

    def _rows(self, shards: Sequence[Shard], encoder: str) -> Iterator[dict[str, Any]]:
        pairs, began = 0, time.monotonic()
        with Progress("index", total=len(shards), unit="shards") as progress:
            for shard in shards:
                row = index.row_of(shard, self.run, encoder=encoder)
                pairs += row["pairs"]
                progress.advance(1, pace(pairs, time.monotonic() - began))
                yield row

    @cached_property
    def _step(self) -> Embed:
        return Embed(self.embed)

    def _contents(self, shard: Shard) -> dict[str, str]:
        suffixes = {"download": PAIRS, "select": KEEP, "embed": self._step.writes}
        marks = {step: read_mark(shard.name(suffix)) for step, suffix in suffixes.items()}
        for step, mark in marks.items():
            if mark is None:
                raise UserError(f'{shard.path(suffixes[step])} is not there; run "{typed(shard.run, step)}" first')
        embeds = marks["embed"]
        if embeds and embeds.fingerprint != self._step.fingerprint(shard):
            raise UserError(
                f'{shard.path(self._step.writes)} is not of the pairs kept now; run "{typed(shard.run, "embed")}" first'
            )
        return {name: mark.content for name, mark in zip(index.CONTENTS, marks.values(), strict=True) if mark}
