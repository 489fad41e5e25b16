"""The rows of one shard that belong to a split, joined: keep-list, tar and text embeds, held open.

A keep-list or embeds that are not those of the index are an error for people.
"""

import threading
import time
import weakref
from collections import OrderedDict
from typing import Literal

import numpy as np
import pyarrow as pa
from torch import Tensor

from cascade.resize import fit_scaled
from configs import UserError
from pipeline.captions import with_own
from storage import keep_list, pairs
from storage.shard import KEEP, PAIRS
from storage.tables import content
from storage.tar import TarReader, decode_scaled
from storage.text_embeds import TextEmbedsFile
from storage.typed import typed
from training.config import OWN

from .index import Index, check_embeds

PAUSES_S = (0.1, 1.0, 5.0)  # after a read that failed, before the next try
Split = Literal["train", "held_out"]


class ImageError(Exception):
    """An image cannot be used; says why in a line."""


class ShardRows:
    """The rows of one shard that belong to a split, its tar and its text embeds, held open."""

    def __init__(self, index: Index, place: int, split: Split) -> None:
        self.shard, self._tar_path = index.shard(place), index.tar(place)
        self._index, self._place = index, place
        self._encoder, self._files = index.file.encoder, dict[str, TextEmbedsFile]()
        keep = _keep_list(index, place)
        chosen = keep_list.validated_on(keep) if split == "held_out" else keep_list.trained_on(keep, index.column)
        self._rows = rows = np.flatnonzero(chosen)
        self._kept_rank = np.cumsum(keep["kept"].to_numpy())[rows] - 1  # embeds are stored for the kept pairs only
        self._table = keep.take(pa.array(rows))
        self.keys, self._captions = self._table["key"], {OWN: self._table["caption"]}
        self._tar = TarReader(self._tar_path) if self._tar_path.exists() else None
        if self._tar is not None:
            weakref.finalize(self, self._tar.close)  # a thread may read on after the shard left the cache

    def __len__(self) -> int:
        return len(self._table)

    def caption(self, row: int, column: str = OWN) -> str:
        """Return the caption of a column; the pair's own where it has none there."""
        if column not in self._captions:
            self._captions[column] = self._read_captions(column)
        own: str = self._captions[OWN][row].as_py()
        return own if column == OWN else with_own([self._captions[column][row].as_py()], [own])[0]

    def _read_captions(self, column: str) -> pa.ChunkedArray:
        try:
            return pairs.stored(self.shard, [column])[column].take(pa.array(self._rows))
        except pa.ArrowInvalid:
            raise UserError(f"text.captions has {column!r}, but {self.shard.path(PAIRS)} has no such column") from None

    def text_embeds(self, row: int, column: str = OWN) -> np.ndarray:
        """Return (tokens, width) uint16, the bits of bfloat16, read where they lie."""
        if column not in self._files:  # opened when first asked for: live text needs none
            self._files[column] = self._open_embeds(column)
        return self._files[column].at(int(self._kept_rank[row]), key=self.keys[row].as_py())

    def _open_embeds(self, column: str) -> TextEmbedsFile:
        check_embeds(self._index, self._place)
        own = TextEmbedsFile(self.shard, self._encoder)
        if column == OWN:
            return own
        file = TextEmbedsFile(self.shard, self._encoder, column)
        if own.beside and content(file.path) != own.beside.get(column):
            again = typed(file.path, "embed", "index")
            raise UserError(f'{file.path} holds other text embeds than the index; run "{again}"')
        return file

    def image(self, row: int, *, px: int) -> Tensor:
        """Return (3, px, px) uint8: the middle square, made small by area means. Raises ImageError."""
        if self._tar is None:
            raise ImageError(f"{self._tar_path} is not there")
        offset, size, width, height = (
            self._table[name][row].as_py() for name in ("tar_offset", "tar_size", "stored_width", "stored_height")
        )
        if min(width, height) < px:
            raise ImageError(
                f"{width} x {height} px is smaller than the stage's {px} px; give the stage a rule in select.stages"
            )
        try:
            data = self._read(self._tar, offset, size=size)
            image, scale, height, width = decode_scaled(data, at_least_px=px)
            return fit_scaled(image, px=px, scale=scale, height=height, width=width)
        except (OSError, ValueError) as error:
            raise ImageError(" ".join(str(error).split())) from None

    def _read(self, tar: TarReader, offset: int, *, size: int) -> bytes:
        """Return bytes of the tar; where a disk or a network fails, by a fresh look at it a moment later."""
        try:
            return tar.read(offset, size=size)
        except OSError as error:
            failed = error
        for pause_s in PAUSES_S:
            time.sleep(pause_s)
            try:
                with TarReader(self._tar_path) as again:
                    return again.read(offset, size=size)
            except OSError as error:
                failed = error
        raise failed


def _keep_list(index: Index, place: int) -> pa.Table:
    """Return the keep-list of a shard, if it is the one that the index counted."""
    shard, own = index.shard(place), [] if index.column == keep_list.TRAIN else [index.column]
    keep = keep_list.read(shard, ["kept", "held_out", *own, *keep_list.CARRIED])
    if content(shard.path(KEEP)) != index.content_of(place, "content_keep"):
        raise UserError(
            f'{shard.path(KEEP)} has changed since the index was made; run "{typed(shard.run, "embed", "index")}"'
        )
    if content(shard.path(PAIRS)) not in (None, index.content_of(place, "content_pairs")):
        raise UserError(
            f'{index.tar(place)} holds other pairs than the index; run "{typed(shard.run, "score")}" and what follows'
        )
    return keep


class OpenShards:
    """The shards opened last; safe to ask from several threads."""

    def __init__(self, index: Index, split: Split, *, limit: int) -> None:
        self._index, self._split, self._limit = index, split, limit
        self._open: OrderedDict[int, ShardRows] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> ShardRows:
        """Return the shard in row `place` of the index. Raises UserError where it is not the one of the index."""
        with self._lock:
            if place not in self._open:
                self._open[place] = ShardRows(self._index, place, self._split)
                if len(self._open) > self._limit:
                    self._open.popitem(last=False)
            self._open.move_to_end(place)
            return self._open[place]
