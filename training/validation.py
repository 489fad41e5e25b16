"""Does it learn, and does it use its text? Loss by noise level on fixed samples with fixed noise.

bucket b of n    time (b + 1/2) / n, from hardly any noise to nothing but noise
held_out, train  the same number of samples of each, the same at every validation
shuffled         every image with the caption of another, if there is one; gap = 1 - loss / shuffled loss
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from cascade.diffusion import log_snr_at
from evaluation.caption_gap import CaptionGap, others_of

from .config import TrainConfig
from .data.dataset import ImageError, PairDataset, Sample, Split
from .data.index import Index
from .data.loader import Batch, Loader, assemble, padded_text
from .data.rng import VALIDATION
from .distributed import Ranks, all_reduce_sum
from .loss import DiffusionLoss


class FixedSet:
    """Samples of one split that every validation looks at, each judged by its true caption."""

    def __init__(self, config: TrainConfig, index: Index, split: Split) -> None:
        self.config = config
        loader = Loader(config, PairDataset(config, index, split=split))
        self.samples = list(islice(usable_samples(loader), config.validation.samples))
        self._embeds = loader.dataset.text_embeds([sample.place for sample in self.samples])
        self._others = _others([sample.caption for sample in self.samples]) if len(self.samples) > 1 else np.empty(0)

    def items(self) -> Iterator[tuple[Sample, np.ndarray]]:
        """Yield each sample with the embeds of its caption, (tokens, width) uint16."""
        return zip(self.samples, self._embeds, strict=True)

    def batch(self, rows: np.ndarray, *, time: float, shuffled: bool) -> Batch:
        """Return these samples at one time, with their own captions or with those of others."""
        embeds = [self._embeds[row] for row in (self._others[rows] if shuffled else rows)]
        samples = [self.samples[row] for row in rows]
        batch = assemble(self.config, VALIDATION + rows, samples, padded_text(self.config, embeds))
        return replace(batch, time=torch.full((len(rows),), time))


def fixed_sets(config: TrainConfig, index: Index) -> dict[Split, FixedSet]:
    """Return the sets this training looks at: none where it never validates, no split of fewer than two good pairs."""
    if not config.validation.every_steps:
        return {}
    sizes: dict[Split, int] = {"train": index.samples, "held_out": int(index.held_out.sum())}
    sets: dict[Split, FixedSet] = {split: FixedSet(config, index, split) for split, size in sizes.items() if size >= 2}
    return {split: fixed for split, fixed in sets.items() if len(fixed.samples) >= 2}


def bucket_times(buckets: int) -> list[float]:
    """Return the middle of each bucket."""
    return [(bucket + 0.5) / buckets for bucket in range(buckets)]


def bucket_log_snr(config: TrainConfig) -> list[float]:
    """Return the log-SNR of each bucket."""
    times = torch.tensor(bucket_times(config.validation.buckets), dtype=torch.float64)
    return log_snr_at(config.stage.diffusion, times).tolist()


@torch.no_grad()
def validate(objective: DiffusionLoss, fixed: FixedSet, *, ranks: Ranks) -> CaptionGap:
    """Validate `objective` on a fixed set; the ranks share the samples and all get the same answer."""
    config = fixed.config
    times = bucket_times(config.validation.buckets)
    table = torch.zeros(2, len(times), len(fixed.samples), dtype=torch.float64)
    size = config.micro_batch
    for first in range(ranks.rank * size, len(fixed.samples), ranks.world_size * size):
        rows = np.arange(first, min(first + size, len(fixed.samples)))
        for bucket, time in enumerate(times):
            for shuffled in (0, 1):
                batch = fixed.batch(rows, time=time, shuffled=bool(shuffled))
                table[shuffled, bucket, rows] = objective(batch.to(ranks.device)).double().cpu()
    summed = torch.tensor(all_reduce_sum(table.flatten().tolist(), ranks=ranks)).view(table.shape)
    return CaptionGap(bucket_log_snr(config), *(losses.mean(1).tolist() for losses in summed))


def usable_samples(loader: Loader) -> Iterator[Sample]:
    """Yield the samples of the split in its order, without those whose images cannot be used."""
    for position in range(loader.order.samples):
        try:
            yield loader.dataset[loader.places([position])[0]]
        except ImageError:
            continue


def _others(captions: list[str]) -> np.ndarray:
    """Return for each caption the row of another; where one is more than half of all, some rows are taken often.

    Where all are the same, a row is its own other, and the gap is 0: such a text tells nothing.
    """
    try:
        return others_of(captions)
    except ValueError:
        rows = range(len(captions))
        turned = ([*rows[row + 1 :], *rows[:row], row] for row in rows)
        return np.array(
            [next((other for other in after if captions[other] != captions[after[-1]]), after[-1]) for after in turned]
        )
