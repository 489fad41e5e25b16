"""embed: the frozen text encoder's embeds of every kept caption, a vector a token.

Pairs that were kept before keep their embeds; only newly kept ones are encoded.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from cascade.text_encoder import TextConfig, TextEncoder
from configs import Config, fingerprint
from configs.steps import STEPS
from storage import keep_list, text_embeds
from storage.shard import Shard
from storage.text_embeds import TextEmbedsFile

from .step import ShardStep

VERSION = 2


class EmbedConfig(Config):
    """The frozen text encoder whose per-token embeds are stored."""

    text: TextConfig = TextConfig()


@dataclass(frozen=True)
class Embed(ShardStep):
    """The shard step `embed`."""

    entry = STEPS["embed"]
    embed: EmbedConfig

    @property
    def writes(self) -> str:
        """Return the suffix, which carries the encoder's name."""
        return text_embeds.suffix(self.embed.text.name)

    @cached_property
    def encoder(self) -> TextEncoder:
        """Load the encoder, once in each process."""
        return TextEncoder(self.embed.text)

    def fingerprint(self, shard: Shard) -> str:
        """Cover the encoder, and which pairs are kept."""
        return fingerprint("embed", VERSION, self.embed.text.fingerprint, keep_list.kept_digest(shard))

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write the embeds of the kept pairs in their order."""
        mark, keep = self.fingerprint(shard), keep_list.read(shard, ["kept", "caption"])
        keep = keep.filter(keep["kept"])
        captions = keep["caption"].to_pylist()
        unique = list(dict.fromkeys(captions))
        known = self._known(shard, keep)
        fresh = [caption for caption in unique if caption not in known]
        embeds = known | dict(zip(fresh, self.encoder.encode(fresh), strict=True))
        text_embeds.write(
            shard.path(self.writes),
            keep["key"],
            captions,
            embeds,
            fingerprint=mark,
            encoder=self.embed.text.fingerprint,
            width=self.encoder.width,
        )
        return Counter({"kept": len(captions), "encoded": len(fresh), "reused": len(unique) - len(fresh)})

    def _known(self, shard: Shard, keep: pa.Table) -> dict[str, np.ndarray]:
        """Return caption -> embeds from an earlier file by the same encoder, of pairs that are still the same."""
        if text_embeds.encoder_of(shard.path(self.writes)) != self.embed.text.fingerprint:
            return {}
        old = TextEmbedsFile(shard, self.embed.text.name)
        captions = dict(zip(keep["key"].to_pylist(), keep["caption"].to_pylist(), strict=True))
        rows = [(row, key) for row, key in enumerate(old.keys) if key in captions and old.is_of(row, captions[key])]
        return {captions[key]: old.at(row, key=key) for row, key in rows}
