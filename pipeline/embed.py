"""embed: the frozen text encoder's embeds of every kept caption, a vector a token.

Pairs that were kept before keep their embeds; only newly kept ones are encoded.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field, StringConstraints

from cascade.text_encoder import TextConfig, TextEncoder
from configs import Config, fingerprints
from configs.steps import STEPS
from filters.devices import Device, resolved
from storage import keep_list, pairs, text_embeds
from storage.footers import exists
from storage.shard import PAIRS, Shard
from storage.tables import content
from storage.text_embeds import TextEmbedsFile

from .captions import with_own
from .step import ShardStep, State
from .workers import Tally

VERSION = 2

Column = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]


class EmbedConfig(Config):
    """The frozen text encoder whose per-token embeds are stored."""

    text: TextConfig = TextConfig()
    device: Device = "cpu"  # cuda, or auto: a GPU where there is one; workers share out the GPUs of their task
    captions: tuple[Column, ...] = Field(
        default=(), examples=[["llava"]]
    )  # further columns of captions, see `plan.captions`


@dataclass(frozen=True)
class Embed(ShardStep):
    """The shard step `embed`."""

    entry = STEPS["embed"]
    embed: EmbedConfig

    @cached_property
    def writes(self) -> str:
        """Return the suffix, which carries the encoder's name."""
        return text_embeds.suffix(self.embed.text.name)

    @cached_property
    def encoder(self) -> TextEncoder:
        """Load the encoder, once in each process."""
        return TextEncoder(self.embed.text, resolved(self.embed.device, key="embed.device"))

    def fingerprint(self, shard: Shard) -> str:
        """Cover the encoder, which pairs are kept with which captions, and further captions if they are asked for."""
        further = [self.embed.captions, "normalised", content(shard.path(PAIRS))] if self.embed.captions else []
        return self._fingerprint_of(keep_list.kept_digest(shard), *further)

    @cached_property
    def _fingerprint_of(self) -> Callable[..., str]:
        return fingerprints("embed", VERSION, self.embed.text.fingerprint)

    def state(self, shard: Shard) -> State:
        """Return where a shard stands, from footers only."""
        further = (text_embeds.suffix(self.embed.text.name, column) for column in self.embed.captions)
        return super().state(shard) if all(exists(shard.name(suffix)) for suffix in further) else "missing"

    def pairs(self, counts: Counter[str]) -> int:
        """Return how many pairs were counted: those that are kept; captions are counted beside them."""
        return counts["kept"]

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write the embeds of the kept pairs in their order, those of further captions first."""
        mark, keep = self.fingerprint(shard), keep_list.read(shard, ["kept", "caption"])
        kept = keep.filter(keep["kept"])
        own, counts = kept["caption"].to_pylist(), Counter(kept=len(kept))
        further = pairs.stored(shard, ["key", *self.embed.captions]).filter(keep["kept"])
        for column in self.embed.captions:
            texts = with_own(further[column].to_pylist(), own)
            counts += self._write(shard, kept["key"], texts, mark, column=column)
        beside = {column: content(self._path(shard, column)) for column in self.embed.captions}
        return counts + self._write(shard, kept["key"], own, mark, beside=beside)

    def _write(
        self,
        shard: Shard,
        keys: pa.ChunkedArray,
        captions: list[str],
        mark: str,
        *,
        column: str | None = None,
        beside: Mapping[str, str | None] | None = None,
    ) -> Counter[str]:
        unique, known = list(dict.fromkeys(captions)), self._known(shard, keys, captions, column)
        fresh = [caption for caption in unique if caption not in known]
        tally = Tally(of=len(fresh))
        encoded = self.encoder.encode(fresh, seen=lambda count: tally.add("encoded", count))
        embeds = known | dict(zip(fresh, encoded, strict=True))
        text_embeds.write(
            self._path(shard, column),
            keys,
            captions,
            embeds,
            fingerprint=mark,
            encoder=self.embed.text.fingerprint,
            width=self.encoder.width,
            beside=beside,
        )
        return Counter({"encoded": len(fresh), "reused": len(unique) - len(fresh)})

    def _path(self, shard: Shard, column: str | None) -> Path:
        return shard.path(text_embeds.suffix(self.embed.text.name, column))

    def _known(
        self, shard: Shard, keys: pa.ChunkedArray, captions: list[str], column: str | None
    ) -> dict[str, np.ndarray]:
        """Return caption -> embeds from an earlier file by the same encoder, of pairs that are still the same."""
        if text_embeds.encoder_of(self._path(shard, column)) != self.embed.text.fingerprint:
            return {}
        old = TextEmbedsFile(shard, self.embed.text.name, column)
        now = dict(zip(keys.to_pylist(), captions, strict=True))
        rows = [(row, key) for row, key in enumerate(old.keys) if key in now and old.is_of(row, now[key])]
        return {now[key]: old.at(row, key=key) for row, key in rows}
