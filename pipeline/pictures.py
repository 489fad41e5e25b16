"""Stored pictures: one pread and one decode away."""

import os
from io import BufferedReader

import numpy as np
import simplejpeg


def read_member(file: BufferedReader, offset: int, size: int) -> bytes:
    """`size` bytes at `offset`; any number of threads and processes may read the same open file."""
    data = os.pread(file.fileno(), size, offset)
    if len(data) != size:
        short = f"{file.name} is cut short: {len(data)} of {size} bytes at {offset}"
        raise ValueError(f'{short}; remove it and run "corgi download" again')
    return data


def decode(data: bytes, *, at_least_px: int = 0) -> np.ndarray:
    """A stored JPEG as (height, width, 3) uint8 RGB.

    With `at_least_px` the decoder may scale down by 1/2, 1/4 or 1/8 as long as both sides keep that many pixels.
    """
    fast = {"min_width": at_least_px, "min_height": at_least_px, "min_factor": 1} if at_least_px else {}
    return simplejpeg.decode_jpeg(data, colorspace="RGB", **fast)
