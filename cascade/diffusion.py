"""Diffusion in log-SNR: schedules, the conversions between what a net may predict, weightings, the loss.

One quantity runs through everything: lambda = log(alpha^2 / sigma^2), here `log_snr`.

    z = alpha x + sigma eps        alpha^2 = sigmoid(lambda)    sigma^2 = sigmoid(-lambda)
    v = alpha eps - sigma x        (Salimans and Ho 2022)

x is an image in [-1, 1], (batch, 3, height, width). Time t runs from 0 (clean) to 1 (noise) and is only a way to draw
log-SNR: `log_snr_at(config, t)`. Everything here is fp32 or better.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .config import AugSchedule, DiffusionConfig, Prediction, Schedule, Weighting

AUG_LOG_SNR_CLIP = (-20.0, 20.0)


def log_snr_at(config: DiffusionConfig, t: Tensor) -> Tensor:
    """Return log-SNR at time t in [0, 1], same shape and dtype, falling in t and clipped to `log_snr_clip`."""
    return _log_snr(t, config.schedule, shift=config.shift, clip=config.log_snr_clip)


def _log_snr(t: Tensor, schedule: Schedule, *, shift: float, clip: tuple[float, float]) -> Tensor:
    exact = t.double()
    log_snr = (
        _linear_log_snr(exact) if schedule == "linear" else shift - 2 * torch.log(torch.tan(exact * (math.pi / 2)))
    )
    return log_snr.clamp(*clip).to(t.dtype)


@functools.cache
def _linear_table() -> np.ndarray:
    """Return log-SNR of the 1000 steps of DDPM's linear beta 1e-4..0.02, from 9.2 down to -10.1."""
    log_alpha2 = np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000)))
    return log_alpha2 - np.log(-np.expm1(log_alpha2))


def _linear_log_snr(t: Tensor) -> Tensor:
    """Read the table continuously: t = 0 is its first step, t = 1 its last."""
    table = torch.from_numpy(_linear_table()).to(t.device)
    place = t.clamp(0, 1) * (len(table) - 1)
    below = place.floor().long().clamp(max=len(table) - 2)
    return torch.lerp(table[below], table[below + 1], place - below)


def _speed(config: DiffusionConfig, log_snr: Tensor) -> Tensor:
    """Return -d(log-SNR)/dt / 2 pi at a log-SNR: one over the density that uniform t gives it. (batch,) float64."""
    exact = log_snr.double()
    if config.schedule != "linear":
        return torch.cosh((exact - config.shift) / 2)  # from sin(pi t) = sech(lambda / 2)
    table = torch.from_numpy(_linear_table()).to(log_snr.device)
    below = torch.searchsorted(-table, -exact).clamp(1, len(table) - 1)
    return (table[below - 1] - table[below]) * (len(table) - 1) / (2 * math.pi)


def stratified_times(uniform: Tensor, *, place: Tensor, count: int) -> Tensor:
    """Return one time in each of `count` equal parts of [0, 1]: t = (place + uniform) / count.

    uniform: (batch,) in [0, 1), drawn by the caller, so the same numbers always give the same times.
    place: (batch,) the sample's place in the global batch, 0..count-1, whoever computes it.
    """
    return ((place.double() + uniform.double()) / count).to(uniform.dtype)


def alpha(log_snr: Tensor) -> Tensor:
    """Return the share of the image in z."""
    return torch.sigmoid(log_snr).sqrt()


def sigma(log_snr: Tensor) -> Tensor:
    """Return the share of the noise in z."""
    return torch.sigmoid(-log_snr).sqrt()


def per_image(value: Tensor) -> Tensor:
    """Turn (batch,) into (batch, 1, 1, 1), to stand beside images."""
    return value[:, None, None, None]


def add_noise(x: Tensor, *, noise: Tensor, log_snr: Tensor) -> Tensor:
    """Return z = alpha x + sigma noise. x, noise: (batch, 3, h, w); log_snr: (batch,)."""
    return per_image(alpha(log_snr)) * x + per_image(sigma(log_snr)) * noise


def training_target(prediction: Prediction, *, x: Tensor, noise: Tensor, log_snr: Tensor) -> Tensor:
    """Return what the head should predict: a function of data and noise only."""
    if prediction == "x":
        return x
    if prediction == "eps":
        return noise
    return per_image(alpha(log_snr)) * noise - per_image(sigma(log_snr)) * x


def to_x(prediction: Prediction, output: Tensor, *, z: Tensor, log_snr: Tensor) -> Tensor:
    """Return the clean image that a head's output stands for."""
    if prediction == "x":
        return output
    a, s = per_image(alpha(log_snr)), per_image(sigma(log_snr))
    return (z - s * output) / a if prediction == "eps" else a * z - s * output


# The log of the weight on squared error in x, by name. eps error is e^lambda, v error 1 + e^lambda times x error.
_LOG_WEIGHT: dict[Weighting, Callable[[DiffusionConfig, Tensor], Tensor]] = {
    "x": lambda config, log_snr: torch.zeros_like(log_snr),
    "eps": lambda config, log_snr: log_snr,
    "v": lambda config, log_snr: torch.nn.functional.softplus(log_snr),
    "min_snr": lambda config, log_snr: log_snr.clamp(max=math.log(config.min_snr)),
    # SiD2: sigmoid(b - lambda) on eps error under uniform lambda, hence the division by the schedule's density.
    "sigmoid": lambda config, log_snr: (
        torch.nn.functional.logsigmoid(log_snr - config.sigmoid_bias) + _speed(config, log_snr).log()
    ),
}


def loss_weight(config: DiffusionConfig, log_snr: Tensor) -> Tensor:
    """Return the factor on the mean squared error in the head's own space, (batch,) fp32.

    A weighting means the same for every head: it is named in x space and carried over here, in logarithms, so that
    nothing overflows at the ends.
    """
    exact = log_snr.double()
    log_weight = _LOG_WEIGHT[config.weighting](config, exact)
    if config.prediction == "eps":
        log_weight = log_weight - exact
    if config.prediction == "v":
        log_weight = log_weight - torch.nn.functional.softplus(exact)
    return log_weight.exp().float()


def loss_per_sample(config: DiffusionConfig, output: Tensor, *, x: Tensor, noise: Tensor, log_snr: Tensor) -> Tensor:
    """Return the weighted mean squared error of each sample, (batch,) fp32. output: of the net's head."""
    target = training_target(config.prediction, x=x.float(), noise=noise.float(), log_snr=log_snr.float())
    error = (output.float() - target).square().flatten(1).mean(1)
    return loss_weight(config, log_snr) * error


# --- noise conditioning augmentation of the low-res input (Imagen, sec. 2.4) ---


def aug_log_snr(level: Tensor, *, schedule: AugSchedule) -> Tensor:
    """Return the log-SNR that stands for an augmentation level in [0, 1]: of cosine, 20 (clean) to -20 (noise).

    schedule: the stage's `aug_schedule`.
    """
    return _log_snr(level, schedule, shift=0.0, clip=AUG_LOG_SNR_CLIP)


def augment(low_res: Tensor, *, noise: Tensor, level: Tensor, schedule: AugSchedule) -> Tensor:
    """Return low-res images with Gaussian noise at a level of their own, (batch,); level 0 changes no bit."""
    noisy = add_noise(low_res, noise=noise, log_snr=aug_log_snr(level, schedule=schedule))
    return torch.where(per_image(level == 0), low_res, noisy)
