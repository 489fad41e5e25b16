"""00042.<encoder>.arrow: the text embeds of a shard's kept pairs, in the order of the keep-list.

    key, num_tokens, text_embeds      text_embeds: (num_tokens, width) bfloat16 as bytes, real tokens only, no padding
    caption_digest                    the first 16 bytes of its sha256: a caption may change under a key

The column of embeds is dictionary-encoded, so a caption that stands under many images is stored once. The metadata
names the numbers' type: read as fp16 they would be plausible and wrong. The file is read by memory map:

    table = pa.ipc.open_file(pa.memory_map(path)).read_all()
    bits = np.frombuffer(table["text_embeds"][0].as_py(), "<u2").reshape(-1, width)      # the upper half of a float32
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError
from configs.steps import STEPS

from .shard import Shard
from .tables import read_metadata, with_mark, write_arrow
from .typed import typed

ENCODER = "corgi.encoder"  # metadata: fingerprint of the encoder
WIDTH = "corgi.width"
DTYPE = "corgi.dtype"
BESIDE = "corgi.beside"  # files of further captions, so that this one's content covers theirs
DIGEST, DIGEST_BYTES = "caption_digest", 16


def suffix(encoder: str, caption: str | None = None) -> str:
    """Return the suffix of one encoder's file. encoder: a name safe for files; caption: as of TextEmbedsFile."""
    return STEPS["embed"].writes.format(encoder=encoder if caption is None else f"{encoder}+{caption}")


def write(
    path: Path,
    keys: pa.ChunkedArray,
    captions: Sequence[str],
    embeds: Mapping[str, np.ndarray],
    *,
    fingerprint: str,
    encoder: str,
    width: int,
    beside: Mapping[str, str | None] | None = None,
) -> None:
    """Commit the embeds of the pairs `keys` with these captions.

    embeds: caption -> (tokens, width) uint16, the bits of bfloat16; encoder: the encoder's fingerprint; beside: further
    caption column -> content of the file that holds its embeds.
    """
    place = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    dictionary = pa.array([embeds[caption].tobytes() for caption in place], pa.large_binary())
    indices = pa.array([place[caption] for caption in captions], pa.int32())
    num_tokens = pa.array([len(embeds[caption]) for caption in captions], pa.int32())
    digests = pa.array([digest_of(caption) for caption in captions], pa.binary(DIGEST_BYTES))
    columns = [keys.combine_chunks(), num_tokens, pa.DictionaryArray.from_arrays(indices, dictionary), digests]
    metadata = {ENCODER: encoder, WIDTH: str(width), DTYPE: "bfloat16"}
    metadata |= {BESIDE: json.dumps(beside)} if beside else {}
    table = pa.table(columns, names=["key", "num_tokens", "text_embeds", DIGEST])
    write_arrow(path, with_mark(table, fingerprint, metadata))


def digest_of(caption: str) -> bytes:
    """Return what tells two captions apart."""
    return sha256(caption.encode()).digest()[:DIGEST_BYTES]


def encoder_of(path: Path) -> str | None:
    """Return the fingerprint of the encoder that made a file of this format; None where there is no such file."""
    metadata = read_metadata(path)
    return metadata.get(ENCODER) if DTYPE in metadata else None


class TextEmbedsFile:
    """One shard's embeds by memory map.

    caption: the column of further captions that they are of; None: of the pairs' own. A pair without a further caption
    has its own there, too, so that all files of a shard have the same rows.
    """

    def __init__(self, shard: Shard, encoder: str, caption: str | None = None) -> None:
        self.path = shard.path(suffix(encoder, caption))
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        except FileNotFoundError:
            raise UserError(f'{self.path} is not there; run "{typed(self.path, "embed")}" first') from None
        except pa.ArrowInvalid as error:
            raise UserError(f'{self.path} cannot be read ({error}); run "{typed(self.path, "embed")}" again') from None
        if "text_embeds" not in self._table.column_names:
            raise UserError(f'{self.path} is of an earlier version; run "{typed(self.path, "embed", "index")}"')
        self.width = int(self._table.schema.metadata[WIDTH.encode()])
        self.beside: dict[str, str | None] = json.loads(self._table.schema.metadata.get(BESIDE.encode(), b"{}"))
        self._ends = np.cumsum([len(chunk) for chunk in self._table["text_embeds"].chunks])

    def __len__(self) -> int:
        return len(self._table)

    @property
    def keys(self) -> list[str]:
        """Return the keys of all pairs."""
        return self._table["key"].to_pylist()

    @property
    def total_tokens(self) -> int:
        """Return the sum over all pairs."""
        return pc.sum(self._table["num_tokens"]).as_py() or 0

    def row_of(self, key: str) -> int | None:
        """Return the row of a pair, None where it has no embeds here."""
        row = pc.index(self._table["key"], key).as_py()
        return row if row >= 0 else None

    def is_of(self, row: int, caption: str) -> bool:
        """Tell whether a row is of this caption. Files of earlier versions do not say; then a key meant one caption."""
        return DIGEST not in self._table.column_names or self._table[DIGEST][row].as_py() == digest_of(caption)

    def at(self, row: int, *, key: str) -> np.ndarray:
        """Return (tokens, width) uint16, the bits of bfloat16, read where they lie. UserError for another key."""
        if row >= len(self._table) or self._table["key"][row].as_py() != key:
            raise UserError(f'{self.path} does not fit its keep-list; run "{typed(self.path, "embed", "index")}"')
        number = int(np.searchsorted(self._ends, row, side="right"))
        chunk = self._table["text_embeds"].chunk(number)
        inside = row - (int(self._ends[number]) - len(chunk))
        stored = chunk.dictionary[chunk.indices[inside].as_py()].as_buffer()
        return np.frombuffer(stored, dtype="<u2").reshape(-1, self.width)
