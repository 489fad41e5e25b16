"""Decoded pictures kept in memory."""

import threading
from collections.abc import Callable

from .crops import Picture


class PictureCache:
    """Pictures kept in memory until it is full; nothing is ever thrown out.

    Every picture is used once an epoch, and a cache that throws out the oldest would never hit.
    """

    def __init__(self, limit_mib: int) -> None:
        self._left = limit_mib * 2**20
        self._kept: dict[tuple[int, int], Picture] = {}
        self._lock = threading.Lock()

    def get(self, place: tuple[int, int], make: Callable[[], Picture]) -> Picture:
        """The picture of this place, made by `make` where it is not kept."""
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        made = make()
        with self._lock:
            if place not in self._kept and made.nbytes <= self._left:
                self._left -= made.nbytes
                self._kept[place] = made
        return made
