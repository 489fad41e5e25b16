"""Samplers: pure functions that walk a grid of rising log-SNR, from z ~ N(0, 1) to an image.

    z --denoise--> x-hat --guidance--> --threshold--> x-hat --one step of the method--> z, a little cleaner

    denoise(z, log_snr) -> x-hat      z, x-hat: (batch, 3, h, w); log_snr: 0-d tensor
    grid: (steps + 1,)                noisiest first, the last entry is CLEAN and the net is never asked there

All four methods ask for the x-hat of the same grid, so guidance and thresholds work with every one of them.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .config import DiffusionConfig, SamplerConfig
from .diffusion import alpha, log_snr_at, sigma

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]

CLEAN = 20.0  # a log-SNR that is as good as no noise: sigma 4.5e-5


def grid(config: SamplerConfig, diffusion: DiffusionConfig) -> Tensor:
    """Return (steps + 1,) float64 rising log-SNR within what the schedule was trained on, CLEAN at the end.

    Fewer where the schedule is cut off (log_snr_clip) and levels fall together.
    """
    t = torch.linspace(1, 0, config.steps + 1, dtype=torch.float64)
    if config.grid == "schedule":
        levels = log_snr_at(diffusion, t)[:-1]
    else:
        low, high = log_snr_at(diffusion, t[[0, -1]]).tolist()
        levels = -2 * _edm_sigmas(config.steps, low=math.exp(-high / 2), high=math.exp(-low / 2)).log()
    levels = torch.unique_consecutive(levels)
    return torch.cat([levels, torch.tensor([CLEAN], dtype=torch.float64)])


def _edm_sigmas(count: int, *, low: float, high: float, rho: float = 7.0) -> Tensor:
    """Return EDM's levels, eq. 5 (2206.00364): .002..80, cut to the trained range; sigma here is noise over signal."""
    low, high = max(low, 0.002) ** (1 / rho), min(high, 80.0) ** (1 / rho)
    return torch.linspace(high, low, count, dtype=torch.float64) ** rho


def sample(config: SamplerConfig, denoise: Denoise, *, grid: Tensor, z: Tensor, noise: Noise) -> Tensor:
    """Return images, (batch, 3, h, w), from noise z at grid[0]. `noise`: fresh N(0, 1) like z, for ddpm."""
    if config.method == "ddpm":
        return ddpm(denoise, grid=grid, z=z, noise=noise, gamma=config.gamma)
    methods = {"ddim": ddim, "dpmpp_2m": dpmpp_2m, "heun": heun}
    return methods[config.method](denoise, grid=grid, z=z)


def ddpm(denoise: Denoise, *, grid: Tensor, z: Tensor, noise: Noise, gamma: float) -> Tensor:
    """Sample ancestrally with the variance of Imagen's eq. 6; the last step adds no noise."""
    for place, (now, then) in enumerate(_steps(grid)):
        x = denoise(z, now)
        kept = torch.exp(now - then)
        mean = kept * (alpha(then) / alpha(now)) * z + (1 - kept) * alpha(then) * x
        if place == len(grid) - 2:
            return mean
        deviation = (1 - kept).sqrt() * sigma(then) ** (1 - gamma) * sigma(now) ** gamma
        z = mean + deviation * noise()
    return z


def ddim(denoise: Denoise, *, grid: Tensor, z: Tensor) -> Tensor:
    """Sample deterministically, to first order (Song et al. 2021, eta 0)."""
    for now, then in _steps(grid):
        z = _line(z, denoise(z, now), now, then)
    return z


def dpmpp_2m(denoise: Denoise, *, grid: Tensor, z: Tensor) -> Tensor:
    """Sample by DPM-Solver++ 2M (2211.01095, alg. 2): second order from one call a step, using the step before.

    The last step is of first order, as in the authors' code: to CLEAN it is ten times as wide as the one before, and
    x-hat carried on so far is noise.
    """
    previous: Tensor | None = None
    stride_before = 0.0
    for place, (now, then) in enumerate(_steps(grid)):
        x = denoise(z, now)
        stride = float(then - now)
        ahead = x
        if previous is not None and place < len(grid) - 2:
            ahead = x + (x - previous) * (stride / stride_before / 2)
        z = sigma(then) / sigma(now) * z + alpha(then) * -torch.expm1((now - then) / 2) * ahead
        previous, stride_before = x, stride
    return z


def heun(denoise: Denoise, *, grid: Tensor, z: Tensor) -> Tensor:
    """Sample by EDM's second-order method (2206.00364, alg. 1) on y = z / alpha; two calls a step, one at the last."""
    for place, (now, then) in enumerate(_steps(grid)):
        x = denoise(z, now)
        guess = _line(z, x, now, then)
        if place == len(grid) - 2:
            return guess
        noise_now, noise_then = sigma(now) / alpha(now), sigma(then) / alpha(then)
        slope = (z / alpha(now) - x) / noise_now
        slope_then = (guess / alpha(then) - denoise(guess, then)) / noise_then
        z = alpha(then) * (z / alpha(now) + (noise_then - noise_now) * (slope + slope_then) / 2)
    return z


def _steps(grid: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(itertools.pairwise(grid))


def _line(z: Tensor, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """Keep x-hat and the noise that z implies, change their shares."""
    return alpha(then) * x + sigma(then) / sigma(now) * (z - alpha(now) * x)


def guide(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """Return the x-hat of classifier-free guidance: the same image as by guidance in eps or v."""
    return unconditional + weight * (conditional - unconditional)


def guides(config: SamplerConfig, log_snr: Tensor) -> bool:
    """Return whether guidance acts at this noise level, so that the unconditional x-hat is needed."""
    low, high = config.guidance_interval
    return config.guidance != 1 and low <= float(log_snr) <= high


def threshold(config: SamplerConfig, x: Tensor) -> Tensor:
    """Return x-hat brought back to [-1, 1], each image for itself (Imagen, sec. 2.3)."""
    if config.threshold == "none":
        return x
    if config.threshold == "static":
        return x.clamp(-1, 1)
    size = x.abs().flatten(1)
    place = max(1, math.ceil(size.shape[1] * config.percentile / 100))
    bound = size.kthvalue(place, dim=1).values.clamp(min=1)[:, None, None, None]
    return x.clamp(-bound, bound) / bound


class SeededNoise:
    """N(0, 1) from one generator per image, so that an image does not depend on the batch it is drawn in."""

    def __init__(self, seeds: Sequence[int], *, shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape, self.device = tuple(shape), device

    def __call__(self) -> Tensor:
        """Return (len(seeds), *shape) fp32; each call goes on where the last one stopped."""
        drawn = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        return torch.stack(drawn).to(self.device)


def stage_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each image and purpose ("sr256", "sr256 aug"), unlike for neighbouring numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:7], "big")
