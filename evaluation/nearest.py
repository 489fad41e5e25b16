"""Which training pictures an image is most like, so that a person sees what was learned and what is new.

Nearest means: the largest cosine similarity of MobileNetV2's features (mobilenet.py) among a fixed draw of the pictures
that are trained on. It finds the same kind of thing in like colours; that nothing near is found proves nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from configs import hashed
from storage import keep_list, pairs, scores
from storage.plan import shards_of
from storage.shard import KEEP, SCORES, TAR, Shard
from storage.tar import TarReader

from .eval_set import sized
from .groups import nearest_rows, unit
from .mobilenet import features

INPUT_PX = 128  # of the features at most
CHUNK = 64  # pictures looked at together
SHARDS = 64  # at most that pictures are taken from, spread over all


class Nearest(NamedTuple):
    """A training picture."""

    shard: Shard
    pair: dict[str, Any]  # its row
    similarity: float  # cosine, at most 1


class TrainingPictures:
    """A fixed draw of the pictures of a run that are trained on, at most `count`."""

    def __init__(self, run: Path, *, count: int = 1000) -> None:
        all_shards = [shard for shard in shards_of(run) if shard.path(KEEP).exists() and shard.path(TAR).exists()]
        spread = all_shards[:: max(1, -(-len(all_shards) // SHARDS))]
        found = [(shard, row) for shard in spread for row in _trained(shard, count).to_pylist()]
        self.pairs = sorted(found, key=lambda pair: hashed(pair[1]["key"], "nearest"))[:count]
        self._features: dict[int, np.ndarray] = {}

    def nearest(self, images: Sequence[np.ndarray]) -> list[Nearest]:
        """Return the nearest one of each image, (px, px, 3) uint8 each; none where nothing is trained on.

        They are compared at the image's own size, or at INPUT_PX where that is smaller.
        """
        found: list[Nearest] = []
        for image in images if self.pairs else ():
            px = min(len(image), INPUT_PX)
            looked_at, real = features(sized(image, px)[None]), self._features_at(px)
            row = int(nearest_rows(looked_at, real=real, leave_out=np.full(1, -1))[0])
            found.append(Nearest(*self.pairs[row], float((unit(looked_at) * unit(real[row : row + 1])).sum())))
        return found

    def _features_at(self, px: int) -> np.ndarray:
        """Return the features of all pictures at this size, (n, width)."""
        if px not in self._features:
            chunks = [self.pairs[first : first + CHUNK] for first in range(0, len(self.pairs), CHUNK)]
            parts = [features(np.stack([_square(shard, row, px) for shard, row in chunk])) for chunk in chunks]
            self._features[px] = np.concatenate(parts)
        return self._features[px]


def _trained(shard: Shard, count: int) -> pa.Table:
    """Return the rows of the pairs that are trained on; of a large shard those that come first by their hash."""
    stored = pairs.stored(shard)
    if shard.path(SCORES).exists():
        stored = scores.with_scores(stored, shard, ["nsfw_score"])  # so that it is known what is not for everyone
    trained = keep_list.trained_on(keep_list.read(shard, ["kept", "held_out"], of=stored), keep_list.TRAIN)
    rows = np.flatnonzero(trained)
    order = sorted(rows, key=lambda row: hashed(stored["key"][int(row)].as_py(), "nearest"))[:count]
    return stored.take(pa.array(np.sort(np.array(order, np.int64))))


def _square(shard: Shard, row: dict[str, Any], px: int) -> np.ndarray:
    with TarReader(shard.path(TAR)) as tar:
        return sized(tar.image(row["tar_offset"], size=row["tar_size"]), px)
