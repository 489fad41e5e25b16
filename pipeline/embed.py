"""embed: the frozen text encoder's states of every kept caption, per token.

    000/00042.minilm.arrow   key, tokens, states

`states` holds (tokens, width) bfloat16 numbers as bytes, real tokens only; it is dictionary-encoded, so a caption
that stands under many pictures is stored once. The file is read by memory map. Pairs that were kept before keep
their states; only newly kept ones are encoded.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from cascade.text import TextConfig, TextEncoder
from configs import fingerprint

from .files import commit, read_metadata, read_table, with_mark
from .select import KEPT
from .shard import KEEP, Shard, states_suffix

VERSION = 1
ENCODER = "corgi.encoder"
WIDTH = "corgi.width"


@dataclass(frozen=True)
class Embed:
    """The shard step `embed`."""

    config: TextConfig
    name: str = "embed"
    reads: tuple[str, ...] = (KEEP,)

    @property
    def writes(self) -> str:
        """The suffix carries the encoder's name."""
        return states_suffix(self.config.name)

    @cached_property
    def encoder(self) -> TextEncoder:
        """Loaded once in each process."""
        return TextEncoder(self.config)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "encoder"}

    def fingerprint(self, shard: Shard) -> str:
        """Of the encoder, and of which pairs are kept."""
        return fingerprint("embed", VERSION, self.config.fingerprint, read_metadata(shard.path(KEEP)).get(KEPT))

    def __call__(self, shard: Shard) -> Counter[str]:
        """Writes the states of the kept pairs in their order."""
        mark = self.fingerprint(shard)
        keep = read_table(shard.path(KEEP), ["key", "kept", "caption"], made_by="select")
        keep = keep.filter(keep["kept"])
        captions = keep["caption"].to_pylist()
        unique = list(dict.fromkeys(captions))
        known = self._known(shard, dict(zip(keep["key"].to_pylist(), captions, strict=True)))
        fresh = [caption for caption in unique if caption not in known]
        known |= {text: state.tobytes() for text, state in zip(fresh, self.encoder.encode(fresh), strict=True)}
        place = {caption: number for number, caption in enumerate(unique)}
        dictionary = pa.array([known[caption] for caption in unique], pa.large_binary())
        indices = pa.array([place[caption] for caption in captions], pa.int32())
        tokens = [len(known[caption]) // (2 * self.encoder.width) for caption in captions]
        table = pa.table(
            [
                keep["key"].combine_chunks(),
                pa.array(tokens, pa.int32()),
                pa.DictionaryArray.from_arrays(indices, dictionary),
            ],
            names=["key", "tokens", "states"],
        )
        metadata = {ENCODER: self.config.fingerprint, WIDTH: str(self.encoder.width)}
        commit(shard.path(self.writes), lambda scratch: _write(scratch, with_mark(table, mark, metadata)))
        return Counter({"kept": len(captions), "encoded": len(fresh), "reused": len(unique) - len(fresh)})

    def _known(self, shard: Shard, captions: dict[str, str]) -> dict[str, bytes]:
        """Caption -> states in an earlier file by the same encoder. A key covers its caption, so keys match safely."""
        path = shard.path(self.writes)
        if read_metadata(path).get(ENCODER) != self.config.fingerprint:
            return {}
        with pa.memory_map(str(path)) as source:
            old = pa.ipc.open_file(source).read_all()
            rows = zip(old["key"].to_pylist(), old["states"].to_pylist(), strict=True)
            return {captions[key]: states for key, states in rows if key in captions}


def _write(path: object, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def states_of(value: bytes, width: int) -> np.ndarray:
    """The stored bytes of one caption as (tokens, width) uint16, the bits of bfloat16."""
    return np.frombuffer(value, dtype="<u2").reshape(-1, width)
