"""Does an enlarging stage keep the colours it was given? Mean RGB of its images against that of their low-res input.

The guard against the colour shift that users of high-res diffusion report.
"""

from typing import NamedTuple

import numpy as np


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
