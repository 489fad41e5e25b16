"""Which hashes are near one of a list: PDQ, 256 bits, within a Hamming distance; none is missed.

The hashes are cut into 16 bands of 16 bits. Two that differ in at most 31 bits agree in some band but for one bit: only
those are looked up and compared in full. Beyond 31 bits all are compared with all.
"""

from collections.abc import Sequence

import numpy as np

BYTES = 32
BANDS = 16  # of 16 bits
INDEXED_UP_TO = 2 * BANDS - 1  # bits: beyond, two hashes may differ in two bits of every band
FEW = 256  # listed hashes that are quicker compared with all
FLIPS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)


class NearList:
    """A list of hashes, each 32 bytes."""

    def __init__(self, hashes: Sequence[bytes], *, distance: int) -> None:
        self._words = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), BYTES // 8)
        self._distance = distance
        self._is_indexed = distance <= INDEXED_UP_TO and len(hashes) > FEW
        if self._is_indexed:
            bands = self._words.view(np.uint16).reshape(len(hashes), BANDS)
            self._order = [np.argsort(bands[:, band], kind="stable") for band in range(BANDS)]
            self._sorted = [bands[order, band] for band, order in enumerate(self._order)]

    def near(self, hashes: Sequence[bytes | None]) -> np.ndarray:
        """Return (n,) bool: which hashes are near a listed one; None never is."""
        known = np.array([value is not None for value in hashes], bool)
        words = np.frombuffer(b"".join(value or bytes(BYTES) for value in hashes), np.uint64).reshape(len(hashes), -1)
        found = self._by_bands(words) if self._is_indexed else self._by_all(words)
        return found & known

    def _by_all(self, words: np.ndarray) -> np.ndarray:
        found = np.zeros(len(words), bool)
        for listed in self._words:
            found |= np.bitwise_count(words ^ listed).sum(1) <= self._distance
        return found

    def _by_bands(self, words: np.ndarray) -> np.ndarray:
        found = np.zeros(len(words), bool)
        bands = words.view(np.uint16).reshape(len(words), BANDS)
        for band in range(BANDS):
            for flip in FLIPS:
                asked = np.flatnonzero(~found)
                values = bands[asked, band] ^ flip
                first = np.searchsorted(self._sorted[band], values, "left")
                count = np.searchsorted(self._sorted[band], values, "right") - first
                rows = np.repeat(asked, count)
                steps = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
                listed = self._order[band][np.repeat(first, count) + steps]
                close = np.bitwise_count(words[rows] ^ self._words[listed]).sum(1) <= self._distance
                found[rows[close]] = True
        return found
