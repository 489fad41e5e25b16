"""Text states that are encoded when they are needed, for trainings without stored ones."""

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from cascade.text import TextConfig, TextEncoder


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
