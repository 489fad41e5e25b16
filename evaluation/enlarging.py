"""Is an enlarging stage worth its time? Its images from real small ones, against plain bilinear enlarging.

    error ratio = squared error of what the stage draws / squared error of bilinear        1: it might as well not run

Both errors are to the real large image. A sampler draws one of many possible details and is punished for the wrong
ones, so a ratio below 1 is more than sharpness: the details are right.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cascade.generate import Cascade, Precision
from cascade.resize import enlarge, from_uint8, shrink, to_uint8
from cascade.weights import LoadedStage


def error_ratio(
    stage: LoadedStage,
    images: np.ndarray,
    *,
    text_embeds: Sequence[np.ndarray],
    seeds: Sequence[int],
    precision: Precision = "fp32",
    batch: int = 16,
) -> float:
    """Return the error ratio over all images.

    images: (n, px, px, 3) uint8, real, of the stage's size; text_embeds: of each caption, as `embed` stores them.
    Raises ValueError for a stage that does not enlarge, and for images without any detail, which bilinear restores.
    """
    if stage.config.low_res_px is None:
        raise ValueError(f"{stage.config.name} does not enlarge anything")
    real = from_uint8(torch.from_numpy(images).permute(0, 3, 1, 2))
    small = to_uint8(shrink(real, stage.config.low_res_px))
    plain = _error(enlarge(from_uint8(small), stage.config.image_px), real)
    if plain == 0:
        raise ValueError("these images lose nothing when they are made small; take some with detail")
    start = small.permute(0, 2, 3, 1).numpy()
    drawn = Cascade([stage], precision).sample(text_embeds, seeds, start=start, batch=batch)[stage.config.name]
    return _error(from_uint8(torch.from_numpy(drawn).permute(0, 3, 1, 2)), real) / plain


def _error(images: Tensor, real: Tensor) -> float:
    return float((images - real).square().mean())
