"""Samplers: pure functions that walk a grid of falling noise, from z ~ N(0, 1) to a picture.

    denoise(z, log_snr) -> x-hat        z, x-hat: (batch, 3, h, w); log_snr: 0-d tensor
    grid: (steps + 1,) rising log-SNR   from the schedule (uniform t) or EDM's sigma grid

Each method is a few lines over the same grid. Guidance and thresholding wrap `denoise`, so they work with all of them.
"""

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import Tensor

from configs import Config

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]
Method = Literal["ddpm", "ddim", "dpmpp_2m", "heun"]


class SamplerConfig(Config):
    """How pictures are drawn; nothing here needs training anew."""

    method: Method = "ddpm"
    steps: int = Field(default=128, gt=0)
    grid: Literal["schedule", "edm"] = "schedule"
    gamma: float = Field(default=0.3, ge=0, le=1)  # ddpm: how its variance is interpolated (Imagen, eq. 6)
    guidance: float = 1.35  # 1 is conditional, 0 unconditional
    guidance_interval: tuple[float, float] = (-math.inf, math.inf)  # log-SNR range in which guidance acts
    threshold: Literal["none", "static", "dynamic"] = "dynamic"
    percentile: float = Field(default=99.5, gt=0, le=100)  # of abs(x-hat), for the dynamic threshold
    aug_level: float = Field(
        default=0.0, ge=0, le=1
    )  # SR stages: noise laid over the low-res input, and told to the net
