"""Text states as a batch, read from files or encoded on the spot."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cascade.text import TextConfig, TextEncoder


class Text(NamedTuple):
    """Padded to the longest of the batch: b samples, t tokens."""

    states: Tensor  # (b, t, width) fp32
    mask: Tensor  # (b, t) bool, at least one valid token a row


def padded(states: Sequence[np.ndarray | None], *, width: int, max_tokens: int) -> Text:
    """States of several texts, (tokens, width) uint16 each, the bits of bfloat16.

    None or no token at all is the null text: zeros with one valid token, never an all-masked row.
    """
    lengths = [1 if state is None else min(max(len(state), 1), max_tokens) for state in states]
    bits = np.zeros((len(states), max(lengths), width), np.uint32)
    for row, state in zip(bits, states, strict=True):
        if state is not None:
            row[: len(state)] = state[:max_tokens]
    values = torch.from_numpy((bits << 16).view(np.float32))  # bfloat16 is the upper half of a float32
    return Text(values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


class LiveText:
    """Encodes captions when they are needed; one thread at a time."""

    def __init__(self, config: TextConfig) -> None:
        self._config = config
        self._lock = threading.Lock()

    @cached_property
    def _encoder(self) -> TextEncoder:
        """Loaded when the first caption comes."""
        return TextEncoder(self._config)

    def __call__(self, captions: Sequence[str]) -> list[np.ndarray]:
        """(tokens, width) uint16 for each caption, equal to what `embed` would have stored."""
        unique = list(dict.fromkeys(captions))
        with self._lock:
            known = dict(zip(unique, self._encoder.encode(unique), strict=True))
        return [known[caption] for caption in captions]
