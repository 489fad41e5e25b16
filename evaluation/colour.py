"""Does an enlarging stage keep the colours it was given? Mean RGB of its pictures against that of their low-res input.

The guard against the colour shift that users of high-res diffusion report. Bar of the quickstart: `mean` below 0.02.
"""

from typing import NamedTuple

import numpy as np


class Drift(NamedTuple):
    """All in units of the range 0..255, so 0.02 is five steps of 8 bits."""

    mean: float  # over pictures and channels, of the absolute difference of a picture's mean
    worst: float  # the largest of them
    bias: tuple[float, float, float]  # mean signed difference of red, green and blue: a tint shared by all


def drift(pictures: np.ndarray, *, low_res: np.ndarray) -> Drift:
    """pictures: (n, px, px, 3) uint8; low_res: (n, low_px, low_px, 3) uint8, what they were enlarged from."""
    for name, array in (("pictures", pictures), ("low_res", low_res)):
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
            raise ValueError(f"{name} must be (n, px, px, 3) uint8, got {array.shape} {array.dtype}")
    if len(pictures) != len(low_res) or not len(pictures):
        raise ValueError(f"every picture needs its input: {len(pictures)} pictures, {len(low_res)} inputs")
    difference = _mean_rgb(pictures) - _mean_rgb(low_res)
    red, green, blue = difference.mean(0).tolist()
    return Drift(float(np.abs(difference).mean()), float(np.abs(difference).max()), (red, green, blue))


def _mean_rgb(pictures: np.ndarray) -> np.ndarray:
    """(n, px, px, 3) uint8 -> (n, 3) in [0, 1]."""
    return pictures.mean((1, 2), dtype=np.float64) / 255
