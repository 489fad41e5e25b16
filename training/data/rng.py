"""Randomness that belongs to a sample: keyed by (seed, position, purpose), never by what happened before.

    position   number of samples seen before this one, over the whole training
    purpose    what the numbers are for; each purpose has a stream of its own

Philox is a counter-based generator: key and counter say where in its sequence to stand, so the numbers of sample
5,000,000 cost what those of sample 0 cost, and are the same for any world size, worker, micro-batch or restart.
"""

import threading
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

MASK = 2**64 - 1


class Purpose(IntEnum):
    """One stream each. Numbers are part of what a run is: never renumber, only add."""

    SHARDS = 1  # order of the shards in an epoch
    WINDOW = 2  # order of the samples in a window
    TIME = 3
    NOISE = 4
    DROP = 5
    CROP = 6
    AUG_LEVEL = 7
    AUG_NOISE = 8
    DROPOUT = 9
    TEXT_NOISE = 10
    TEXT_NOISE_LEVEL = 11
    CAPTION = 12


VALIDATION = 2**62  # positions from here on belong to validation: no training gets so far, and int64 holds more


def normal(seed: int, position: int, purpose: Purpose, *, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal float32 numbers."""
    return _stream(seed, position, purpose).standard_normal(shape, dtype=np.float32)


def below(seed: int, position: int, purpose: Purpose, *, limits: tuple[int, ...]) -> tuple[int, ...]:
    """Return one whole number in [0, limit) for each limit, limits below 2**32 (the bias is under 2**-32)."""
    raw = _stream(seed, position, purpose).bit_generator.random_raw(len(limits))
    return tuple(((int(word) >> 32) * limit) >> 32 for word, limit in zip(raw, limits, strict=True))


def permutation(seed: int, position: int, purpose: Purpose, *, count: int) -> np.ndarray:
    """Return the numbers 0..count-1 shuffled, int64: the order of raw Philox words, which no library decides."""
    raw = _stream(seed, position, purpose).bit_generator.random_raw(count)
    return np.argsort(raw, kind="stable")


class _Reused(threading.local):
    """One generator a thread, moved from stream to stream: a fresh one costs ten times as much."""

    def __init__(self) -> None:
        self.generator = np.random.Generator(np.random.Philox(key=0))
        self.state: Any = self.generator.bit_generator.state


_reused = _Reused()


def _stream(seed: int, position: int, purpose: Purpose) -> np.random.Generator:
    """Return a sample's stream for one purpose, good until this thread asks for the next.

    Streams cannot meet before 2**128 numbers.
    """
    inner = _reused.state["state"]
    inner["key"][:] = seed & MASK, int(purpose)
    inner["counter"][:] = 0, 0, position & MASK, position >> 64
    _reused.generator.bit_generator.state = _reused.state  # its buffers are empty, as at the beginning
    return _reused.generator


def uniforms(seed: int, positions: np.ndarray, purpose: Purpose) -> Tensor:
    """Return (b,) in [0, 1), drawn as float32 so that every later use is exact."""
    return torch.tensor([float(_stream(seed, int(at), purpose).random(dtype=np.float32)) for at in positions])


def normals(seed: int, positions: np.ndarray, purpose: Purpose, *, shape: tuple[int, ...]) -> Tensor:
    """Return (b, *shape) fp32 standard normal numbers."""
    drawn = np.empty((len(positions), *shape), np.float32)
    for number, position in enumerate(positions):
        drawn[number] = normal(seed, int(position), purpose, shape=shape)
    return torch.from_numpy(drawn)
