"""Stored images: one pread and one decode away."""

import numpy as np
import simplejpeg

from .tar import TarReader


def decode(data: bytes, *, at_least_px: int = 0) -> np.ndarray:
    """Return a stored JPEG as (height, width, 3) uint8 RGB.

    With `at_least_px` the decoder may scale down by 1/2, 1/4 or 1/8 as long as both sides keep that many pixels.
    """
    fast = {"min_width": at_least_px, "min_height": at_least_px, "min_factor": 1} if at_least_px else {}
    return simplejpeg.decode_jpeg(data, colorspace="RGB", **fast)


def read_image(tar: TarReader, offset: int, size: int, *, at_least_px: int = 0) -> np.ndarray:
    """Return the image whose member of the tar has its data at `offset`. Raises ValueError where that cannot be."""
    return decode(tar.read(offset, size=size), at_least_px=at_least_px)
