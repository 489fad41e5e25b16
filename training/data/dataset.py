"""The pairs of one split: a row of a keep-list joined with its image in the tar and its text embeds.

    keep-list    the i-th row that is trained on: key, caption, where the image lies
    tar          one pread of the JPEG; what is decoded is kept in memory until that is full
    text embeds  by memory map, or encoded when they are asked for (text.mode: live)

An image that is missing or broken raises `ImageError`; bad_images.py decides what stands in. A keep-list or embeds that
are not those of the index are an error for people: the order of samples would not be the one that was asked for.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from torch import Tensor

from cascade.resize import fit_scaled
from cascade.text_encoder import TextEmbedder
from configs import UserError
from storage import keep_list, pairs
from storage.shard import KEEP, PAIRS
from storage.tables import content
from storage.tar import TarReader
from storage.text_embeds import TextEmbedsFile
from training.config import OWN, TrainConfig

from .crops import StageImage, with_low_res
from .index import Index

Split = Literal["train", "held_out"]


class ImageError(Exception):
    """An image cannot be used; says why in a line."""


class Place(NamedTuple):
    """Where a sample lies."""

    shard: int  # row of the index
    row: int  # among the shard's samples


class Sample(NamedTuple):
    """A pair, before any random number."""

    place: Place
    key: str
    caption: str
    image: StageImage  # uint8, with its low-res twin where the stage enlarges


class PairDataset:
    """The pairs of one split, each image with its own caption. Safe to use from several threads."""

    def __init__(self, config: TrainConfig, index: Index, *, split: Split = "train") -> None:
        self.index = index
        self.counts: np.ndarray = index.counts if split == "train" else index.held_out  # (shards,) samples of each
        self._stage, self._text = config.stage, config.text
        self._shards = OpenShards(index, split, limit=2 * config.data.window_shards)
        self._images = ImageCache(config.data.cache_mib)
        bytes_each = 2 * config.text.encoder.max_tokens * config.stage.text_width
        self._embedder = TextEmbedder(remember=config.data.cache_mib * 2**20 // bytes_each)

    def __getitem__(self, place: Place) -> Sample:
        """Return a sample. Raises ImageError."""
        image = self._images.get(place, lambda: self._decoded(place))
        return Sample(place, self.key(place), self.caption(place), image)

    def key(self, place: Place) -> str:
        """Return a sample's key; no image is read."""
        return self._rows(place.shard).keys[place.row].as_py()

    def caption(self, place: Place, column: str = OWN) -> str:
        """Return a sample's caption of a column; no image is read."""
        return self._rows(place.shard).caption(place.row, column)

    def text_embeds(self, places: Sequence[Place], columns: Sequence[str] | None = None) -> list[np.ndarray]:
        """Return the embeds of each caption, stored or encoded now: the same numbers.

        columns: whose captions, one a place; None: the pairs' own.
        """
        asked = zip(places, columns or [OWN] * len(places), strict=True)
        if self._text.mode == "live":
            return self._embedder(self._text.encoder, [self.caption(place, column) for place, column in asked])
        return [self._rows(place.shard).text_embeds(place.row, column) for place, column in asked]

    def find(self, shard: int, key: str) -> Place | None:
        """Return the place of a pair of this shard, None where it is not one of the split."""
        keys = self._rows(shard).keys.to_pylist()
        return Place(shard, keys.index(key)) if key in keys else None

    def _rows(self, shard: int) -> "ShardRows":
        rows = self._shards[shard]
        if len(rows) != self.counts[shard]:
            raise UserError(f'shard {rows.shard} and the index disagree; run "corgi index" again')
        return rows

    def _decoded(self, place: Place) -> StageImage:
        full = self._rows(place.shard).image(place.row, px=self._stage.image_px)
        return with_low_res(full, low_res_px=self._stage.low_res_px)


class ShuffledCaptions:
    """The same images, each with the caption of another pair of its shard: the control run (text.pairing: shuffled)."""

    def __init__(self, dataset: PairDataset) -> None:
        self._dataset = dataset
        self.index, self.counts = dataset.index, dataset.counts

    def __getitem__(self, place: Place) -> Sample:
        """Return a sample with another's caption. Raises ImageError."""
        return self._dataset[place]._replace(caption=self.caption(place))

    def key(self, place: Place) -> str:
        """Return the image's key."""
        return self._dataset.key(place)

    def caption(self, place: Place, column: str = OWN) -> str:
        """Return the caption that stands under this image."""
        return self._dataset.caption(self._other(place), column)

    def text_embeds(self, places: Sequence[Place], columns: Sequence[str] | None = None) -> list[np.ndarray]:
        """Return the embeds of the captions that stand under these images."""
        return self._dataset.text_embeds([self._other(place) for place in places], columns)

    def _other(self, place: Place) -> Place:
        count = int(self.counts[place.shard])
        return place._replace(row=(place.row + count // 2) % count)


Dataset = PairDataset | ShuffledCaptions


class ShardRows:
    """The rows of one shard that belong to a split, its tar and its text embeds, held open."""

    def __init__(self, index: Index, place: int, split: Split) -> None:
        self.shard, self._tar_path = index.shard(place), index.tar(place)
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
        text = self._captions[column][row].as_py()
        return text if text and text.strip() else self._captions[OWN][row].as_py()

    def _read_captions(self, column: str) -> pa.ChunkedArray:
        try:
            return pairs.stored(self.shard, [column])[column].take(pa.array(self._rows))
        except pa.ArrowInvalid:
            raise UserError(f"text.captions has {column!r}, but {self.shard.path(PAIRS)} has no such column") from None

    def text_embeds(self, row: int, column: str = OWN) -> np.ndarray:
        """Return (tokens, width) uint16, the bits of bfloat16, read where they lie."""
        if column not in self._files:  # opened when first asked for: live text needs none
            self._files[column] = TextEmbedsFile(self.shard, self._encoder, None if column == OWN else column)
        return self._files[column].at(int(self._kept_rank[row]), key=self.keys[row].as_py())

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
            image, scale, height, width = self._tar.scaled_image(offset, size=size, at_least_px=px)
            return fit_scaled(image, px=px, scale=scale, height=height, width=width)
        except (OSError, ValueError) as error:
            raise ImageError(" ".join(str(error).split())) from None


def _keep_list(index: Index, place: int) -> pa.Table:
    """Return the keep-list of a shard, if it is the one that the index counted."""
    shard, own = index.shard(place), [] if index.column == keep_list.TRAIN else [index.column]
    keep = keep_list.read(shard, ["kept", "held_out", *own, *keep_list.CARRIED])
    if content(shard.path(KEEP)) != index.content_of(place, "content_keep"):
        raise UserError(f'{shard.path(KEEP)} has changed since the index was made; run "corgi embed" and "corgi index"')
    if content(shard.path(PAIRS)) not in (None, index.content_of(place, "content_pairs")):
        raise UserError(f'{index.tar(place)} holds other pairs than the index; run "corgi score" and what follows')
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


class ImageCache:
    """Decoded images kept in memory until it is full; nothing is ever thrown out.

    Every image is used once an epoch, and a cache that throws out the oldest would never hit.
    """

    def __init__(self, limit_mib: int) -> None:
        self._left = limit_mib * 2**20
        self._kept: dict[Place, StageImage] = {}
        self._lock = threading.Lock()

    def get(self, place: Place, decode: Callable[[], StageImage]) -> StageImage:
        """Return the image of this place, made by `decode` where it is not kept."""
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        image = decode()
        with self._lock:
            if place not in self._kept and image.nbytes <= self._left:
                self._left -= image.nbytes
                self._kept[place] = image
        return image
