"""From positions to batches: pictures, text, and every random number they need.

    position --order--> (shard, row) --samples--> picture, caption, states
             --keyed--> time, noise, text drop, crop, augmentation level and noise

A batch is a pure function of (config, index, positions): any number of workers, processes or restarts gives the same.
Workers are threads: reading, decoding and drawing noise release the interpreter, and nothing has to be unpickled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cascade.conditioning import Text, pad_text
from cascade.diffusion import stratified_times
from configs import UserError

from . import keyed
from .cache import PictureCache
from .config import TrainConfig
from .crops import Corner, Picture, full_crops, low_res_crops, with_low_res
from .index import Index
from .keyed import Purpose, normals, uniforms
from .order import Order
from .samples import OpenShards, PictureError, ShardRows, Split
from .text import LiveText

SUBSTITUTES = 100  # rows that are tried in a shard before the next shard is


class Bad(NamedTuple):
    """A picture that could not be used. The next good row of its shard stands in, so the order stays."""

    position: int
    shard: int
    key: str
    reason: str
    instead: str  # the key of the pair that was used


class Sample(NamedTuple):
    """A pair, before any random number."""

    key: str
    caption: str
    picture: Picture  # uint8, with its low-res twin where the stage enlarges
    states: np.ndarray | None  # (tokens, width) uint16, the bits of bfloat16; None: encoded with the whole batch


@dataclass(frozen=True)
class Batch:
    """What one forward pass needs. b samples, t tokens of the longest text, pictures (b, 3, h, w)."""

    positions: np.ndarray  # (b,)
    keys: list[str]
    captions: list[str]
    x: Tensor  # pictures in [-1, 1]
    noise: Tensor  # standard normal, as x
    time: Tensor  # (b,) in [0, 1)
    text: Tensor  # (b, t, width)
    text_mask: Tensor  # (b, t) bool
    low_res: Tensor | None  # as x, for stages that enlarge: made small and large again
    aug_level: Tensor | None  # (b,) in [0, aug_level_max]
    aug_noise: Tensor | None  # as x
    dropout: Tensor | None = None  # (b,) int32, the seeds of a net that drops activations
    bad: tuple[Bad, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """The same with its tensors on `device`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


class Loader:
    """Batches of one split by position. Safe to use from several threads."""

    def __init__(self, config: TrainConfig, index: Index, *, split: Split = "train") -> None:
        self.config, self.index = config, index
        self.counts = index.counts if split == "train" else index.held_out
        self.order = Order(self.counts, seed=config.seed, window_shards=config.data.window_shards)
        self._shards = OpenShards(index, split, limit=2 * config.data.window_shards)
        self._cache = PictureCache(config.data.cache_mib)
        self._encode = LiveText(config.text.encoder) if config.text.mode == "live" else None
        self._bad: dict[tuple[int, int], str] = {}  # (shard, row) of pictures that cannot be used, and why

    def batch(self, positions: Sequence[int] | np.ndarray) -> Batch:
        """The batch of these positions, in this order."""
        positions = np.asarray(positions, np.int64)
        bad: list[Bad] = []
        places = self.order.at(positions)
        wanted = zip(positions.tolist(), places.shard.tolist(), places.row.tolist(), strict=True)
        samples = [self._sample(position, (shard, row), bad) for position, shard, row in wanted]
        batch = self.drawn(positions, samples, self._text(positions, samples), bad)
        return replace(batch, dropout=self._dropout(positions))

    def keys(self, positions: Sequence[int] | np.ndarray) -> list[str]:
        """The keys of the pairs at these positions; no picture is read."""
        places = self.order.at(positions)
        rows = zip(places.shard, places.row, strict=True)
        return [self._open(int(shard)).key(int(row)) for shard, row in rows]

    def row_of(self, shard: int, key: str) -> int | None:
        """The row of a pair among the shard's samples, None where it is not one of them."""
        keys = self._open(shard).table["key"].to_pylist()
        return keys.index(key) if key in keys else None

    def sample(self, shard: int, row: int) -> Sample:
        """One pair. Raises PictureError."""
        rows = self._open(shard)
        stage = self.config.stage

        def decoded() -> Picture:
            return with_low_res(rows.picture(row, px=stage.image_px), low_res_px=stage.low_res_px)

        picture = self._cache.get((shard, row), decoded)
        told = row if self.config.text.pairing == "own" else (row + len(rows) // 2) % len(rows)
        states = None if self._encode else rows.states(told)
        return Sample(rows.key(row), rows.caption(told), picture, states)

    def _open(self, shard: int) -> ShardRows:
        rows = self._shards[shard]
        if len(rows) != self.counts[shard]:
            raise UserError(f'shard {rows.number:05d} and the index disagree; run "corgi index" again')
        return rows

    def _sample(self, position: int, wanted: tuple[int, int], bad: list[Bad]) -> Sample:
        for place in self._stand_ins(*wanted):
            found = self._try(place)
            if found is not None:
                if place != wanted:
                    key, number = self._open(wanted[0]).key(wanted[1]), int(self.index.numbers[wanted[0]])
                    bad.append(Bad(position, number, key, self._bad[wanted], found.key))
                return found
        raise UserError("no picture of any shard can be read; are the tars where the index is?", exit_code=1)

    def _try(self, place: tuple[int, int]) -> Sample | None:
        """The sample of a place, None where its picture is bad. Raises UserError beyond the budget for that."""
        if place in self._bad:
            return None
        try:
            return self.sample(*place)
        except PictureError as error:
            self._bad[place] = str(error)
        budget = self.config.data.bad_pictures
        if len(self._bad) > budget:
            raise UserError(
                f"more than data.bad_pictures = {budget} pictures cannot be used; the last: {self._bad[place]}",
                exit_code=1,
            )
        return None

    def _stand_ins(self, shard: int, row: int) -> Iterator[tuple[int, int]]:
        """The row itself, the rows after it, then those of the next shards: a pure function of the place."""
        for step in range(len(self.counts)):
            place = (shard + step) % len(self.counts)
            count = int(self.counts[place])
            for further in range(min(count, SUBSTITUTES)):
                yield place, (row + further) % count

    def states(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """(tokens, width) uint16 for each sample, stored or encoded now."""
        if self._encode:
            return self._encode([sample.caption for sample in samples])
        return [sample.states for sample in samples if sample.states is not None]

    def _text(self, positions: np.ndarray, samples: Sequence[Sample]) -> Text:
        """The texts of a batch; some are dropped, so that the net also learns to do without."""
        drop = uniforms(self.config.seed, positions, Purpose.DROP) < self.config.text.drop
        states = zip(drop.tolist(), self.states(samples), strict=True)
        text = self.padded([None if gone else state for gone, state in states])
        return self._noised(text, positions) if self.config.text.noise else text

    def _noised(self, text: Text, positions: np.ndarray) -> Text:
        """Texts off by as much as is drawn for each sample, so that a net with few pairs does not learn them by heart.

        The conditioning augmentation of StackGAN (Zhang and others 2017, section 3.2), at a strength that differs from
        sample to sample, as the augmentation of a low-res picture does: a name that was trained on is still told from
        its neighbours, and one that never was is answered by what lies around it, however far that is.
        """
        states = text.states.clone()
        levels = uniforms(self.config.seed, positions, Purpose.TEXT_NOISE_LEVEL) * self.config.text.noise
        for row, (position, mask) in enumerate(zip(positions.tolist(), text.mask, strict=True)):
            told = states[row, mask]  # the null text has no spread, and stays what it is
            noise = keyed.normal(self.config.seed, position, Purpose.TEXT_NOISE, shape=tuple(told.shape))
            states[row, mask] = told + float(levels[row]) * told.std() * torch.from_numpy(noise)
        return Text(states, text.mask)

    def _dropout(self, positions: np.ndarray) -> Tensor | None:
        if not getattr(self.config.stage.model, "dropout", 0):
            return None
        seeds = [keyed.below(self.config.seed, int(p), Purpose.DROPOUT, limits=(2**31,))[0] for p in positions]
        return torch.tensor(seeds, dtype=torch.int32)

    def padded(self, states: Sequence[np.ndarray | None]) -> Text:
        """Texts as a batch, None as the null text."""
        return pad_text(states, width=self.config.stage.text_width, max_tokens=self.config.text.max_tokens)

    def drawn(self, positions: np.ndarray, samples: Sequence[Sample], text: Text, bad: Sequence[Bad] = ()) -> Batch:
        """These samples as a batch with their random numbers, all keyed by position."""
        stage, seed = self.config.stage, self.config.seed
        shape, enlarges = (3, stage.train_px, stage.train_px), stage.low_res_px is not None
        pictures, corners = [sample.picture for sample in samples], self._corners(positions)
        lows = [picture.low for picture in pictures if picture.low is not None]
        level = uniforms(seed, positions, Purpose.AUG_LEVEL) * stage.aug_level_max
        return Batch(
            positions=positions,
            keys=[sample.key for sample in samples],
            captions=[sample.caption for sample in samples],
            x=full_crops(pictures, corners, px=stage.train_px),
            noise=normals(seed, positions, Purpose.NOISE, shape=shape),
            time=times(seed, positions, batch=self.config.batch),
            text=text.states,
            text_mask=text.mask,
            low_res=low_res_crops(lows, corners, px=stage.train_px, image_px=stage.image_px) if enlarges else None,
            aug_level=level if enlarges else None,
            aug_noise=normals(seed, positions, Purpose.AUG_NOISE, shape=shape) if enlarges else None,
            bad=tuple(bad),
        )

    def _corners(self, positions: np.ndarray) -> list[Corner]:
        """Where each sample is cropped; (0, 0) for stages that see whole pictures."""
        limits = (self.config.stage.image_px - self.config.stage.train_px + 1,) * 2
        return [Corner(*keyed.below(self.config.seed, int(p), Purpose.CROP, limits=limits)) for p in positions]


def times(seed: int, positions: np.ndarray, *, batch: int) -> Tensor:
    """(b,) times in [0, 1): one in each of `batch` equal parts over the global batch."""
    place = torch.from_numpy(positions % batch)
    return stratified_times(uniforms(seed, positions, Purpose.TIME), place=place, count=batch)
