"""Is an enlarging stage worth its time? Its images of real small ones against bilinear enlarging, and their colours.

    error ratio = squared error of what the stage draws / squared error of bilinear        1: it might as well not run
    drift       = mean RGB of what it draws - mean RGB of what it was given       the shift that users report

Both errors are to the real large image. A sampler draws one of many possible details and is punished for the wrong
ones, so a ratio below 1 is more than sharpness: the details are right.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cascade.generate import Cascade, Precision
from cascade.resize import enlarge, from_uint8, shrink, to_uint8
from cascade.samplers import SamplerConfig
from cascade.weights import LoadedStage


def error_ratio(
    stage: LoadedStage,
    images: np.ndarray,
    *,
    text_embeds: Sequence[np.ndarray],
    seeds: Sequence[int],
    sampler: SamplerConfig | None = None,
    precision: Precision = "fp32",
    batch: int = 16,
) -> float | None:
    """Return the error ratio over all images; None of images without any detail, which bilinear restores.

    images: (n, px, px, 3) uint8, real, of the stage's size; text_embeds: of each caption, as `embed` stores them.
    sampler: None takes the stage's own. Raises ValueError for a stage that does not enlarge.
    """
    if stage.config.low_res_px is None:
        raise ValueError(f"{stage.config.name} does not enlarge anything")
    real = from_uint8(torch.from_numpy(images).permute(0, 3, 1, 2))
    small = to_uint8(shrink(real, stage.config.low_res_px))
    plain = _error(enlarge(from_uint8(small), stage.config.image_px), real)
    if plain == 0:
        return None
    start = small.permute(0, 2, 3, 1).numpy()
    name = stage.config.name
    samplers = {name: sampler or stage.config.sampler}
    drawn = Cascade([stage], precision).sample(text_embeds, seeds, start=start, samplers=samplers, batch=batch)[name]
    return _error(from_uint8(torch.from_numpy(drawn).permute(0, 3, 1, 2)), real) / plain


def _error(images: Tensor, real: Tensor) -> float:
    return float((images - real).square().mean())


class Drift(NamedTuple):
    """All in units of the range 0..255, so 0.02 is five steps of 8 bits."""

    mean: float  # over images and channels, of the absolute difference of an image's mean
    worst: float  # the largest of them
    bias: tuple[float, float, float]  # mean signed difference of red, green and blue: a tint shared by all


def drift(images: np.ndarray, *, low_res: np.ndarray) -> Drift:
    """Return how far the mean colours moved.

    images: (n, px, px, 3) uint8; low_res: (n, low_px, low_px, 3) uint8, what they were enlarged from. Raises ValueError
    where they do not fit each other.
    """
    for name, array in (("images", images), ("low_res", low_res)):
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
            raise ValueError(f"{name} must be (n, px, px, 3) uint8, got {array.shape} {array.dtype}")
    if len(images) != len(low_res) or not len(images):
        raise ValueError(f"every image needs its input: {len(images)} images, {len(low_res)} inputs")
    difference = _mean_rgb(images) - _mean_rgb(low_res)
    red, green, blue = difference.mean(0).tolist()
    return Drift(float(np.abs(difference).mean()), float(np.abs(difference).max()), (red, green, blue))


def _mean_rgb(images: np.ndarray) -> np.ndarray:
    """Return (n, 3) in [0, 1] of (n, px, px, 3) uint8."""
    return images.mean((1, 2), dtype=np.float64) / 255
