"""The one resize kernel, for training data and sampler alike, and the one way between uint8 and float images.

Down: every output pixel is the mean of the area it covers (box). At whole factors a crop made small equals the crop of
the small image, bit for bit. Up: bilinear, which never overshoots. Images: (batch, 3, h, w).
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def from_uint8(image: Tensor) -> Tensor:
    """Turn 0..255 into [-1, 1] fp32, same shape."""
    return image.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Turn [-1, 1] into 0..255, same shape; what lies outside is clipped."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def shrink(x: Tensor, height_px: int, width_px: int | None = None) -> Tensor:
    """Return float images made smaller (or left alone) by area means; width_px None means square."""
    height, width = x.shape[-2:]
    width_px = width_px or height_px
    if height_px > height or width_px > width:
        raise ValueError(f"shrink makes pictures smaller; {height} x {width} px cannot become {height_px} x {width_px}")
    if height % height_px == 0 and width % width_px == 0:
        return F.avg_pool2d(x, (height // height_px, width // width_px))
    rows, columns = (_box(0, old, new).to(x) for old, new in ((height, height_px), (width, width_px)))
    return rows @ x @ columns.T


@functools.lru_cache(maxsize=1024)
def _box(start: float, span: float, new: int) -> Tensor:
    """Return the (new, pixels) matrix of means over `span` pixels from `start`: the share of each in each new one."""
    edges = start + torch.arange(new + 1, dtype=torch.float64) * (span / new)
    pixels = torch.arange(math.ceil(start + span), dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp(min=0) * (new / span)).float()


def enlarge(x: Tensor, size_px: int) -> Tensor:
    """Return square float images made larger to size_px a side, bilinearly."""
    return F.interpolate(x, size=(size_px, size_px), mode="bilinear", align_corners=False)


def fit(image: np.ndarray, *, px: int) -> Tensor:
    """Return the middle square at another size by area means, (3, px, px) uint8.

    image: (height, width, 3) uint8, both sides at least px.
    """
    return fit_scaled(image, px=px, scale=1, height=image.shape[0], width=image.shape[1])


def fit_scaled(image: np.ndarray, *, px: int, scale: float, height: int, width: int) -> Tensor:
    """Return what `fit` does, from an image that was decoded at a scale: (3, px, px) uint8.

    image: (rows, columns, 3) uint8, the last row and column perhaps covered in part, as libjpeg rounds sizes up.
    height, width: of the image at full size, of which it is the middle square; times scale, at least px.
    """
    side = min(height, width)
    top, left, span = ((height - side) // 2 * scale, (width - side) // 2 * scale, side * scale)
    if span == px and top % 1 == left % 1 == 0:
        return _window(image, top, left, span).contiguous()
    square = from_uint8(_window(image, top, left, span))[None]
    if top % 1 == left % 1 == span % 1 == 0:
        return to_uint8(shrink(square, px))[0]
    rows, columns = _box(top % 1, span, px), _box(left % 1, span, px)
    return to_uint8(rows @ square @ columns.T)[0]


def _window(image: np.ndarray, top: float, left: float, span: float) -> Tensor:
    """Return the pixels that a square touches, (3, rows, columns)."""
    rows, columns = (slice(math.floor(start), math.ceil(start + span)) for start in (top, left))
    return torch.from_numpy(image[rows, columns]).permute(2, 0, 1)
