"""Crops of pictures and of their low-res twins, at the same place, without making whole what is thrown away."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cascade.resize import enlarge, from_uint8, shrink, to_uint8


class Picture(NamedTuple):
    """A decoded picture as a stage wants it, uint8."""

    full: Tensor  # (3, px, px)
    low: Tensor | None  # (3, low_res_px, low_res_px), for stages that enlarge

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.full.nbytes + (self.low.nbytes if self.low is not None else 0)


class Corner(NamedTuple):
    """Where a crop begins."""

    top: int
    left: int


def with_low_res(full: Tensor, *, low_res_px: int | None) -> Picture:
    """A picture and what it is made small to, rounded to 8 bits as the stage below would put it out."""
    if low_res_px is None:
        return Picture(full, None)
    return Picture(full, to_uint8(shrink(from_uint8(full)[None], low_res_px))[0])


def full_crops(pictures: Sequence[Picture], corners: Sequence[Corner], *, px: int) -> Tensor:
    """(b, 3, px, px) in [-1, 1]."""
    cut = [
        picture.full[:, corner.top : corner.top + px, corner.left : corner.left + px]
        for picture, corner in zip(pictures, corners, strict=True)
    ]
    return from_uint8(torch.stack(cut))


def low_res_crops(lows: Sequence[Tensor], corners: Sequence[Corner], *, px: int, image_px: int) -> Tensor:
    """(b, 3, px, px) in [-1, 1]: what `enlarge` makes of the low-res pictures, cut at the corners.

    Only what lies under the crop and a pixel around it is enlarged; interpolation looks no further.
    """
    low_px = lows[0].shape[-1]
    factor = image_px // low_px
    span = min(-(-px // factor) + 3, low_px)
    begins = [Corner(*(min(max(edge // factor - 1, 0), low_px - span) for edge in corner)) for corner in corners]
    under = [low[:, at.top : at.top + span, at.left : at.left + span] for low, at in zip(lows, begins, strict=True)]
    large = enlarge(from_uint8(torch.stack(under)), span * factor)
    rest = [Corner(c.top - b.top * factor, c.left - b.left * factor) for c, b in zip(corners, begins, strict=True)]
    cut = [one[:, at.top : at.top + px, at.left : at.left + px] for one, at in zip(large, rest, strict=True)]
    return torch.stack(cut)
