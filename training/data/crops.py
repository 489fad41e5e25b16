"""Crops of images and of their low-res twins, at the same place, without making whole what is thrown away."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cascade.resize import enlarge, from_uint8, shrink, to_uint8


class StageImage(NamedTuple):
    """A decoded image as a stage wants it, uint8."""

    full: Tensor  # (3, px, px)
    low: Tensor | None  # (3, low_res_px, low_res_px), for stages that enlarge

    @property
    def nbytes(self) -> int:
        """Return the memory it takes."""
        return self.full.nbytes + (self.low.nbytes if self.low is not None else 0)


class Corner(NamedTuple):
    """Where a crop begins, in pixels."""

    top: int
    left: int


def with_low_res(full: Tensor, *, low_res_px: int | None) -> StageImage:
    """Return an image and what it is made small to, rounded to 8 bits as the stage below would put it out."""
    if low_res_px is None:
        return StageImage(full, None)
    return StageImage(full, to_uint8(shrink(from_uint8(full)[None], low_res_px))[0])


def full_crops(images: Sequence[StageImage], corners: Sequence[Corner], *, px: int) -> Tensor:
    """Return (b, 3, px, px) in [-1, 1]."""
    return from_uint8(_cut([image.full for image in images], corners, px=px))


def low_res_crops(lows: Sequence[Tensor], corners: Sequence[Corner], *, px: int, image_px: int) -> Tensor:
    """Return (b, 3, px, px) in [-1, 1]: what `enlarge` makes of the low-res images, cut at the corners.

    Only what lies under the crop and a pixel around it is enlarged; interpolation looks no further.
    """
    low_px = lows[0].shape[-1]
    factor = image_px // low_px
    span = min(-(-px // factor) + 3, low_px)
    begins = [Corner(*(min(max(edge // factor - 1, 0), low_px - span) for edge in corner)) for corner in corners]
    large = enlarge(from_uint8(_cut(lows, begins, px=span)), span * factor)
    inside = [Corner(c.top - b.top * factor, c.left - b.left * factor) for c, b in zip(corners, begins, strict=True)]
    return _cut(list(large), inside, px=px)


def _cut(images: Sequence[Tensor], corners: Sequence[Corner], *, px: int) -> Tensor:
    """Return (b, 3, px, px), each image cut at its corner."""
    pairs = zip(images, corners, strict=True)
    return torch.stack([image[:, at.top : at.top + px, at.left : at.left + px] for image, at in pairs])
