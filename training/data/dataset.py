"""The pairs of one split: a row of a keep-list joined with its image in the tar and its text embeds.

    keep-list    the i-th row that is trained on: key, caption, where the image lies
    tar          one pread of the JPEG; what is decoded is kept in memory until that is full
    text embeds  by memory map, or encoded when they are asked for (text.mode: live)

An image that is missing or broken raises `ImageError`; bad_images.py decides what stands in. A keep-list or embeds that
are not those of the index are an error for people: the order of samples would not be the one that was asked for.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from cascade.text_encoder import TextEmbedder
from configs import UserError
from storage.typed import typed
from training.config import OWN, TrainConfig

from .crops import StageImage, with_low_res
from .index import Index
from .shard_rows import ImageError, OpenShards, ShardRows, Split

WORTHWHILE = 0.01  # share of the images that a cache must hold

__all__ = ["Dataset", "ImageError", "PairDataset", "Place", "Sample", "ShuffledCaptions", "Split"]


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
        self._images = ImageCache(worthwhile_mib(config, samples=int(self.counts.sum())))
        bytes_each = 2 * config.text.encoder.max_tokens * config.stage.text_width
        device = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_initialized() else "cpu"  # that of this rank
        self._embedder = TextEmbedder(device=device, remember=config.data.cache_mib * 2**20 // bytes_each)

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
            raise UserError(f'shard {rows.shard} and the index disagree; run "{typed(rows.shard.run, "index")}" again')
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


def worthwhile_mib(config: TrainConfig, *, samples: int) -> int:
    """Return the memory to keep images in: what is asked for, or none where hardly one of them would be met again."""
    sides = (config.stage.image_px, config.stage.low_res_px or 0)
    kept = config.data.cache_mib * 2**20 // (3 * sum(px * px for px in sides))
    return config.data.cache_mib if kept >= WORTHWHILE * samples else 0


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
