"""The order of training samples: a pure function of (seed, epoch, counts), computed and never stored.

    epoch      all shards in a shuffled order, cut into windows of `window_shards`
    window     its samples in a shuffled order, so that reading stays near a few files
    position   number of samples seen before; epoch = position // samples of an epoch
    begins     the position from which on these counts hold, where others held before: an epoch starts there

    position 5,000,000 -> Place(epoch=3, shard=17, row=4021)

Rank and world size only choose who reads which positions. No more than a window is ever laid out: 41,300 shards of
10,000 samples cost a few arrays of 41,300 and, for a moment, one of a window.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .rng import Purpose, permutation


class Places(NamedTuple):
    """Where samples lie, an int64 array each, one entry a position."""

    epoch: np.ndarray
    shard: np.ndarray  # index into the counts
    row: np.ndarray  # among the shard's training rows


class Epoch(NamedTuple):
    """The shards of one epoch in their order."""

    shards: np.ndarray  # (shards,) index into the counts
    starts: np.ndarray  # (shards + 1,) samples before each of them


class Order:
    """The order of the samples of all shards.

    counts: training samples of each shard. Raises ValueError where there is none at all.

    Epochs are numbered from `begins`: as an epoch has a sample at least, no number was in use before, so no shuffle
    comes again.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray, *, seed: int, window_shards: int, begins: int = 0) -> None:
        self.counts = np.asarray(counts, np.int64)
        if not len(self.counts) or self.counts.min() < 0 or not self.counts.any():
            raise ValueError("there is no sample to train on: all counts of the index are 0")
        self.samples = int(self.counts.sum())
        self._seed, self._window, self._begins = seed, window_shards, begins
        self._windows = -(-len(self.counts) // window_shards)
        self._epoch = lru_cache(maxsize=2)(self._lay_epoch)
        self._shuffled = lru_cache(maxsize=2)(self._lay_window)

    def at(self, positions: int | Sequence[int] | np.ndarray) -> Places:
        """Return where the samples of these positions lie, in the given order. Raises ValueError for earlier ones."""
        since = np.atleast_1d(np.asarray(positions, np.int64)) - self._begins
        if since.size and since.min() < 0:
            raise ValueError(f"position {since.min() + self._begins} is before {self._begins}, where this order begins")
        places = Places(*(np.empty_like(since) for _ in range(3)))
        places.epoch[:] = self._begins + since // self.samples
        for epoch in np.unique(places.epoch):
            of_epoch = places.epoch == epoch
            shard, row = self._within(int(epoch), since[of_epoch] - (epoch - self._begins) * self.samples)
            places.shard[of_epoch], places.row[of_epoch] = shard, row
        return places

    def positions_of(self, shard: int, row: int, *, until: int) -> list[int]:
        """Return all positions from `begins` on and below `until` at which this sample comes, at most one an epoch."""
        if not 0 <= row < self.counts[shard]:
            raise ValueError(f"shard {shard} has {self.counts[shard]} samples, there is no row {row}")
        epochs = -(-max(until - self._begins, 0) // self.samples)
        positions = [
            self._begins + number * self.samples + self._offset_of(self._begins + number, shard, row)
            for number in range(epochs)
        ]
        return [position for position in positions if position < until]

    def _within(self, epoch: int, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (shard, row) of the samples at these offsets in one epoch."""
        laid = self._epoch(epoch)
        window = (np.searchsorted(laid.starts, offsets, side="right") - 1) // self._window
        moved = np.empty_like(offsets)
        for number in np.unique(window):
            inside = window == number
            first = laid.starts[number * self._window]
            moved[inside] = first + self._shuffled(epoch, int(number))[offsets[inside] - first]
        slot = np.searchsorted(laid.starts, moved, side="right") - 1
        return laid.shards[slot], moved - laid.starts[slot]

    def _offset_of(self, epoch: int, shard: int, row: int) -> int:
        """Return the offset in the epoch at which a sample comes: the inverse of `_within`."""
        laid = self._epoch(epoch)
        slot = int(np.flatnonzero(laid.shards == shard)[0])
        number = slot // self._window
        first = laid.starts[number * self._window]
        target = laid.starts[slot] + row - first
        return int(first + np.flatnonzero(self._lay_window(epoch, number) == target)[0])

    def _lay_epoch(self, epoch: int) -> Epoch:
        shards = permutation(self._seed, epoch, Purpose.SHARDS, count=len(self.counts))
        return Epoch(shards, np.concatenate([[0], np.cumsum(self.counts[shards])]))

    def _lay_window(self, epoch: int, number: int) -> np.ndarray:
        starts = self._epoch(epoch).starts
        last = min((number + 1) * self._window, len(self.counts))
        count = int(starts[last] - starts[number * self._window])
        return permutation(self._seed, epoch * self._windows + number, Purpose.WINDOW, count=count)
