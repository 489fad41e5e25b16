"""Does a net use its text? Loss with the right captions against loss with those of other images, by log-SNR.

    gap = 1 - loss / shuffled loss        0: the text is not used        0.4: right words take 40 % of the error away

Noise and shuffle are fixed by the seed, and no image gets a caption of its own family ("waving hand: dark skin tone"
for "waving hand"), which would be nearly right. The error is in x-hat; at one log-SNR the gap is the same for any head.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cascade import diffusion

from .config import GAP_EDGES


class Net(Protocol):
    """What the nets of cascade are: (n, 3, h, w), (n,) -> the output of the head, (n, 3, h, w)."""

    def __call__(self, x: Tensor, log_snr: Tensor, *, text_embeds: Tensor, text_mask: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CaptionGap:
    """One entry a bucket, noisy to clean."""

    log_snr: list[float]
    loss: list[float]  # mean squared error of x-hat in units of [-1, 1]
    shuffled: list[float]

    @property
    def gap(self) -> list[float]:
        """Return the gap of each bucket."""
        return [1 - right / wrong for right, wrong in zip(self.loss, self.shuffled, strict=True)]

    @property
    def mean_loss(self) -> float:
        """Return the mean loss of all buckets."""
        return sum(self.loss) / len(self.loss)

    @property
    def middle_gap(self) -> float:
        """Return the mean gap of the middle half of the buckets: 3 to 6 of 8, where text matters most."""
        quarter = len(self.gap) // 4
        chosen = self.gap[quarter : len(self.gap) - quarter]
        return sum(chosen) / len(chosen)

    def between(self, low: float, high: float) -> list[float]:
        """Return the gaps of the buckets whose middle lies in [low, high]."""
        return [gap for gap, at in zip(self.gap, self.log_snr, strict=True) if low <= at <= high]


def caption_gap(
    net: Net,
    images: Tensor,
    *,
    text_embeds: Tensor,
    text_mask: Tensor,
    families: Sequence[str],
    prediction: diffusion.Prediction,
    edges: Sequence[float] = GAP_EDGES,
    batch: int = 32,
    seed: int = 0,
) -> CaptionGap:
    """Measure the loss with the right captions and with shuffled ones.

    images: (n, 3, px, px) in [-1, 1]; text_embeds: (n, tokens, width); text_mask: (n, tokens) bool; families: n names.
    All tensors lie on the net's device. Raises ValueError where one family is more than half of all.

    `net` is called without gradients and in the mode it is in; a stage with a low-res input can be wrapped to hold it.
    """
    if not len(images) == len(text_embeds) == len(text_mask) == len(families):
        raise ValueError(
            f"{len(images)} images, {len(text_embeds)} texts, {len(text_mask)} masks, {len(families)} families"
        )
    others = torch.from_numpy(others_of(families, seed=seed))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)).to(images.device)
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    table = torch.zeros(len(middles), 2, dtype=torch.float64)
    for place, middle in enumerate(middles):
        for first in range(0, len(images), batch):
            rows = torch.arange(first, min(first + batch, len(images)))
            for column, texts in enumerate((rows, others[rows])):
                error = _error(net, images[rows], noise[rows], middle, text_embeds[texts], text_mask[texts], prediction)
                table[place, column] += error.double().sum().cpu()
    table /= len(images)
    return CaptionGap(middles, table[:, 0].tolist(), table[:, 1].tolist())


@torch.no_grad()
def _error(
    net: Net, x: Tensor, noise: Tensor, at: float, text: Tensor, mask: Tensor, prediction: diffusion.Prediction
) -> Tensor:
    """Return the mean squared error of x-hat for each image, (batch,)."""
    log_snr = torch.full((len(x),), at, device=x.device)
    z = diffusion.add_noise(x, noise=noise, log_snr=log_snr)
    output = net(z, log_snr, text_embeds=text, text_mask=mask)
    return (diffusion.to_x(prediction, output.float(), z=z, log_snr=log_snr) - x).square().flatten(1).mean(1)


def others_of(families: Sequence[str], *, seed: int = 0) -> np.ndarray:
    """Return (n,) int64, a permutation in which nobody gets a caption of the own family.

    Families stand together in a drawn order, and the row is turned by half. Raises ValueError where one family is
    more than half of all: then it cannot be done.
    """
    count = len(families)
    largest = max((list(families).count(family) for family in set(families)), default=0)
    if count < 2 or largest > count // 2:
        raise ValueError(f"the largest family has {largest} of {count} captions; shuffling needs at most half in one")
    names = sorted(set(families))
    rank = dict(zip(names, np.random.default_rng(seed).permutation(len(names)), strict=True))
    standing = sorted(range(count), key=lambda row: (rank[families[row]], row))
    others = np.empty(count, np.int64)
    others[standing] = np.roll(standing, count // 2)
    return others
