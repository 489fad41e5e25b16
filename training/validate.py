"""Does it learn, and does it use its text? Loss by noise level on fixed samples with fixed noise.

bucket b of n    time (b + 1/2) / n, from hardly any noise to nothing but noise
held_out, train  the same number of samples of each, the same at every validation
shuffled         every picture with the caption of another; gap = 1 - loss / shuffled loss
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cascade.diffusion import log_snr_at
from configs import UserError

from .config import TrainConfig
from .index import Index
from .keyed import VALIDATION
from .loader import Batch, Loader, Sample
from .objective import Objective
from .ranks import Ranks, total
from .samples import PictureError, Split


@dataclass(frozen=True)
class Losses:
    """Mean loss in each bucket, and the same with captions shuffled."""

    loss: list[float]
    shuffled: list[float]

    @property
    def gap(self) -> list[float]:
        """1 - loss / shuffled, in each bucket: 0 where the text is not used."""
        return [1 - right / wrong for right, wrong in zip(self.loss, self.shuffled, strict=True)]


class FixedSet:
    """Samples of one split that every validation looks at."""

    def __init__(self, config: TrainConfig, index: Index, split: Split) -> None:
        self.config = config.model_copy(update={"text": config.text.model_copy(update={"pairing": "own"})})
        self.loader = Loader(self.config, index, split=split)
        self.samples = _usable(self.loader, config.validation.samples)
        self._states = self.loader.states(self.samples)
        self._others = derangement([sample.caption for sample in self.samples]) if len(self.samples) > 1 else []

    def batch(self, places: np.ndarray, *, time: float, shuffled: bool) -> Batch:
        """These samples at one time, with their own captions or with those of others."""
        samples = [self.samples[place] for place in places]
        told = [self._states[self._others[place] if shuffled else place] for place in places]
        batch = self.loader.drawn(VALIDATION + places, samples, self.loader.padded(told))
        return replace(batch, time=torch.full((len(places),), time))


def fixed_sets(config: TrainConfig, index: Index) -> dict[Split, FixedSet]:
    """The sets this training looks at: none where it never validates, and no split of fewer than two usable pairs."""
    if not config.validation.every_steps:
        return {}
    sizes: dict[Split, int] = {"train": int(index.counts.sum()), "held_out": int(index.held_out.sum())}
    sets: dict[Split, FixedSet] = {split: FixedSet(config, index, split) for split, size in sizes.items() if size >= 2}
    return {split: fixed for split, fixed in sets.items() if len(fixed.samples) >= 2}


def bucket_times(buckets: int) -> list[float]:
    """The middle of each bucket."""
    return [(bucket + 0.5) / buckets for bucket in range(buckets)]


def bucket_log_snr(config: TrainConfig) -> list[float]:
    """log-SNR of each bucket."""
    times = torch.tensor(bucket_times(config.validation.buckets), dtype=torch.float64)
    return log_snr_at(config.stage.diffusion, times).tolist()


@torch.no_grad()
def losses(objective: Objective, fixed: FixedSet, *, ranks: Ranks) -> Losses:
    """Validates `objective` on a fixed set; the ranks share the samples and all get the same answer."""
    times = bucket_times(fixed.config.validation.buckets)
    table = torch.zeros(2, len(times), len(fixed.samples), dtype=torch.float64)
    size = fixed.config.micro_batch
    for first in range(ranks.rank * size, len(fixed.samples), ranks.world_size * size):
        places = np.arange(first, min(first + size, len(fixed.samples)))
        for bucket, time in enumerate(times):
            for row in range(2):
                batch = fixed.batch(places, time=time, shuffled=row == 1)
                table[row, bucket, places] = objective(batch.to(ranks.device)).double().cpu()
    summed = torch.tensor(total(table.flatten().tolist(), ranks=ranks)).view(table.shape)
    return Losses(*(row.mean(1).tolist() for row in summed))


def derangement(captions: Sequence[str]) -> list[int]:
    """For each caption the place of another one, every place used once, and none gets its own words.

    The sorted list is turned by half its length: equal captions stand together in it, and so do those that are nearly
    equal, of variants of one picture. Raises UserError where one caption is more than half of all: it cannot be done.
    """
    by_caption = sorted(range(len(captions)), key=lambda place: (captions[place], place))
    turn, most = len(captions) // 2, max(captions.count(caption) for caption in set(captions))
    if most > turn:
        raise UserError(
            f"{most} of the {len(captions)} captions to validate on are the same, so they cannot be shuffled; "
            f"take more samples, or say validation.every_steps=0"
        )
    others = [0] * len(captions)
    for rank, place in enumerate(by_caption):
        others[place] = by_caption[(rank + turn) % len(captions)]
    return others


def _usable(loader: Loader, count: int) -> list[Sample]:
    """The first `count` samples of the split's order whose pictures can be used."""
    found: list[Sample] = []
    for position in range(loader.order.samples):
        if len(found) == count:
            break
        place = loader.order.at(position)
        try:
            found.append(loader.sample(int(place.shard[0]), int(place.row[0])))
        except PictureError:
            continue
    return found
