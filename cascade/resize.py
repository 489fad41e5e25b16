"""The one resize kernel, for training data and sampler alike, and the one way between pictures and numbers.

Down: every output pixel is the mean of the area it covers (box). At whole factors a crop made small equals the crop of
the small picture, bit for bit. Up: bilinear, which never overshoots. Pictures: (batch, 3, h, w).
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F


def from_uint8(picture: Tensor) -> Tensor:
    """0..255 -> [-1, 1] fp32, same shape."""
    return picture.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """[-1, 1] -> 0..255, same shape; what lies outside is clipped."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def quantize(x: Tensor) -> Tensor:
    """x as it would come back from an 8-bit file: what an SR stage saw in training is what it gets in sampling."""
    return from_uint8(to_uint8(x))


def shrink(x: Tensor, height_px: int, width_px: int | None = None) -> Tensor:
    """Float pictures made smaller (or left alone) by area means; width_px None means square."""
    height, width = x.shape[-2:]
    width_px = width_px or height_px
    if height_px > height or width_px > width:
        raise ValueError(f"shrink makes pictures smaller; {height} x {width} px cannot become {height_px} x {width_px}")
    if height % height_px == 0 and width % width_px == 0:
        return F.avg_pool2d(x, (height // height_px, width // width_px))
    rows, columns = (_box(old, new).to(x) for old, new in ((height, height_px), (width, width_px)))
    return rows @ x @ columns.T


@functools.lru_cache(maxsize=1024)
def _box(old: int, new: int) -> Tensor:
    """(new, old) matrix of means: the share of each old pixel in the span of each new one."""
    edges = torch.arange(new + 1, dtype=torch.float64) * (old / new)
    pixels = torch.arange(old, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp(min=0) * (new / old)).float()


def enlarge(x: Tensor, size_px: int) -> Tensor:
    """Square float pictures made larger to size_px a side, bilinearly."""
    return F.interpolate(x, size=(size_px, size_px), mode="bilinear", align_corners=False)


def low_res_input(picture: Tensor, *, low_res_px: int) -> Tensor:
    """What an SR stage is given in training: the picture made small, rounded to 8 bits, made large again.

    picture: (batch, 3, px, px) in [-1, 1], whole pictures; crop both afterwards at the same place.
    """
    return enlarge(quantize(shrink(picture, low_res_px)), picture.shape[-1])
