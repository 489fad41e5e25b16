"""Images that must not be stored, by lists of hashes: none of their bytes reaches the disk.

A list is a text file, written as for `corgi takedown`, of two kinds of lines: the sha256 of a served body, and
`pdq:<hash>` of what an image looks like. By PDQ an image is known again in any of its 8 orientations, at a distance of
31 of 256 bits or less, where its quality is 50 or more: below, its hash says nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from configs import UserError
from filters.base import Batch
from filters.pdq import Pdq, PdqConfig
from pipeline.takedown.lists import PDQ_DISTANCE, read_list
from storage.atomic import sha256_cached
from storage.tar import decode

from .reasons import Refused

MIN_QUALITY = 50  # of 100; the authors of PDQ compare no flatter images


class BlockLists:
    """All lists of a config, to be asked for bodies and for stored images. Threads may share one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read the lists. Raises UserError for one that is not there, or has a line of another kind."""
        self._places: dict[str, str] = {}  # sha256 -> list and line
        hashes: dict[str, str] = {}  # PDQ -> list and line
        for path in paths:
            for line in read_list(path):
                if line.kind not in ("sha256", "pdq"):
                    raise UserError(
                        f"download.block_hashes: {path}, line {line.number} is a {line.kind}, but images are known by "
                        "their sha256 or pdq:<hash>; leave out urls and hosts by plan.rules"
                    )
                known = self._places if line.kind == "sha256" else hashes
                known.setdefault(line.value, f"{path.name}, line {line.number}")
        self._pdq_places = list(hashes.values())
        self._pdq = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), 4)
        self._scorer = Pdq(PdqConfig()) if hashes else None

    def check_body(self, sha256: str) -> None:
        """Raise Refused for a served body with this digest, 64 hex digits, if a list has it."""
        if place := self._places.get(sha256):
            raise Refused("blocked_hash", place)

    def check_image(self, data: bytes) -> None:
        """Raise Refused for the JPEG that would be stored, if it looks like one that a list has."""
        if self._scorer is not None:
            self.check_pixels(decode(data))

    def check_pixels(self, image: np.ndarray) -> None:
        """Raise Refused for an image, (height, width, 3) uint8, if it looks like one that a list has."""
        if self._scorer is None:
            return
        turned = orientations(image)
        scores = self._scorer(Batch(images=turned, captions=[], columns={}))
        if max(scores["pdq_quality"]) < MIN_QUALITY:
            return
        ours = np.frombuffer(b"".join(scores["pdq"]), np.uint64).reshape(len(turned), 1, 4)
        is_near = np.bitwise_count(ours ^ self._pdq).sum(-1, dtype=np.uint16).min(0) <= PDQ_DISTANCE
        if is_near.any():
            raise Refused("blocked_hash", self._pdq_places[int(np.argmax(is_near))])


def orientations(image: np.ndarray) -> list[np.ndarray]:
    """Return (height, width, 3) uint8 turned by quarters, and those of its mirror image."""
    return [np.rot90(each, turns) for each in (image, image[:, ::-1]) for turns in range(4)]


def digests_of(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 of each list. Raises UserError for one that cannot be read."""
    for path in paths:
        _looks(path)
    return [sha256_cached(path) for path in paths]


def block_lists(paths: Sequence[Path]) -> BlockLists:
    """Return the lists, read once in this process as long as their sizes and times stay the same."""
    return _read(tuple((path, *_looks(path)) for path in paths))


@lru_cache(1)
def _read(lists: tuple[tuple[Path, int, int], ...]) -> BlockLists:
    return BlockLists([path for path, _, _ in lists])


def _looks(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"download.block_hashes: {path} cannot be read: {error.strerror}") from None
    return stat.st_size, stat.st_mtime_ns
