"""Captions to pictures, stage by stage.

    cascade = Cascade.load(["runs/x/train/base64", "runs/x/train/sr256"])
    pictures = cascade.sample(["a red apple"], seeds=[7])       {"base64": (1, 64, 64, 3) uint8, "sr256": ...}

Any run of stages will do: base alone, SR alone from given pictures. An SR stage gets the 8-bit picture of the stage
before, enlarged by the kernel of training. All randomness belongs to a picture's own seed and the stage's name.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from configs import UserError

from .conditioning import Text, null_text, pad_text
from .diffusion import aug_log_snr, augment, to_x
from .layers import UNet
from .resize import enlarge, from_uint8, to_uint8
from .sampler import Denoise, PictureNoise, SamplerConfig, grid, guide, guides, stage_seed, threshold, walk
from .stage import StageConfig
from .text import TextConfig, TextEncoder
from .weights import LoadedStage, load_stage

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Cascade:
    """Trained stages in order, each enlarging what the one before made."""

    stages: Sequence[LoadedStage]
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if after.config.low_res_px != before.config.image_px:
                raise UserError(
                    f"{after.config.name} enlarges {after.config.low_res_px} px, but {before.config.name} makes "
                    f"{before.config.image_px} px; give every stage between the first and the last, in order"
                )

    @classmethod
    def load(
        cls, folders: Sequence[str | Path], *, track: str = "ema", device: str = "cpu", precision: Precision = "fp32"
    ) -> "Cascade":
        """Stages from their run or checkpoint folders, in any order."""
        stages = [load_stage(folder, track=track, device=device) for folder in folders]
        return cls(sorted(stages, key=lambda stage: stage.config.image_px), precision)

    def sample(
        self,
        texts: Sequence[str] | Sequence[np.ndarray],
        seeds: Sequence[int],
        *,
        start: np.ndarray | None = None,
        samplers: Mapping[str, SamplerConfig] | None = None,
        batch: int = 16,
    ) -> dict[str, np.ndarray]:
        """One picture per text and seed from every stage, {stage name: (n, px, px, 3) uint8}.

        texts: captions, or their stored states (tokens, width) uint16. start: (n, px, px, 3) uint8 for a first stage
        that enlarges. samplers: what to use instead of a stage's own sampler config, by stage name. batch: pictures
        drawn at once.
        """
        if len(texts) != len(seeds):
            raise ValueError(f"one seed per text: got {len(texts)} texts and {len(seeds)} seeds")
        _check_start(self.stages[0].config, start, len(texts))
        made = None if start is None else torch.from_numpy(start).permute(0, 3, 1, 2)
        states = _StatesByEncoder(texts, device=_device(self.stages[0].net))
        pictures: dict[str, np.ndarray] = {}
        for stage in self.stages:
            sampler = (samplers or {}).get(stage.config.name, stage.config.sampler)
            known = states.of(stage.text)
            parts = []
            for first in range(0, len(seeds), batch):
                part = slice(first, first + batch)
                parts.append(
                    draw(
                        stage.config,
                        stage.net,
                        text=pad_text(known[part], width=stage.config.text_width),
                        seeds=seeds[part],
                        low_res=None if stage.config.low_res_px is None or made is None else made[part],
                        sampler=sampler,
                        precision=self.precision,
                    )
                )
            made = torch.cat(parts)
            pictures[stage.config.name] = made.permute(0, 2, 3, 1).numpy()
        return pictures


@torch.inference_mode()
def draw(
    stage: StageConfig,
    net: UNet,
    *,
    text: Text,
    seeds: Sequence[int],
    low_res: Tensor | None = None,
    sampler: SamplerConfig | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """One batch of one stage's pictures, (n, 3, px, px) uint8 on the CPU.

    low_res: (n, 3, low_res_px, low_res_px) uint8, for a stage that enlarges. sampler: None takes the stage's own.
    """
    sampler, device = sampler or stage.sampler, _device(net)
    low, aug = _low_res_input(stage, sampler, low_res, seeds)
    told = Text(*(part.to(device) for part in text))
    denoise = denoiser(
        stage,
        net,
        sampler,
        text=told,
        low_res=None if low is None else low.to(device),
        aug=None if aug is None else aug.to(device),
        precision=precision,
    )
    shape = (3, stage.image_px, stage.image_px)
    noise = PictureNoise([stage_seed(seed, stage.name) for seed in seeds], shape=shape, device=device)
    x = walk(sampler, denoise, grid=grid(sampler, stage.diffusion), z=noise(), noise=noise)
    return to_uint8(x).cpu()


def denoiser(
    stage: StageConfig,
    net: UNet,
    sampler: SamplerConfig,
    *,
    text: Text,
    low_res: Tensor | None = None,
    aug: Tensor | None = None,
    precision: Precision = "fp32",
) -> Denoise:
    """The net as x-hat of (z, log-SNR), with guidance and threshold. Conditional and unconditional share one call."""
    width, tokens = text.states.shape[2], text.states.shape[1]
    null = null_text(len(text.states), width=width, tokens=tokens, device=text.states.device)
    both = Text(torch.cat([text.states, null.states]), torch.cat([text.mask, null.mask]))
    low_twice = None if low_res is None else torch.cat([low_res, low_res])
    aug_twice = None if aug is None else torch.cat([aug, aug])

    def ask(z: Tensor, log_snr: Tensor, told: Text, low: Tensor | None, level: Tensor | None) -> Tensor:
        level_of_each = log_snr.float().expand(len(z)).to(z.device)
        with torch.autocast(z.device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            output = net(z, level_of_each, text=told.states, text_mask=told.mask, low_res=low, aug_log_snr=level)
        return to_x(stage.diffusion.prediction, output, z=z, log_snr=level_of_each)

    def denoise(z: Tensor, log_snr: Tensor) -> Tensor:
        if not guides(sampler, log_snr):
            return threshold(sampler, ask(z, log_snr, text, low_res, aug))
        conditional, unconditional = ask(torch.cat([z, z]), log_snr, both, low_twice, aug_twice).chunk(2)
        return threshold(sampler, guide(conditional, unconditional, sampler.guidance))

    return denoise


def _low_res_input(
    stage: StageConfig, sampler: SamplerConfig, low_res: Tensor | None, seeds: Sequence[int]
) -> tuple[Tensor | None, Tensor | None]:
    """The low-res pictures as the net was trained to see them, and the log-SNR of their augmentation."""
    if stage.low_res_px is None or low_res is None:
        return None, None
    large = enlarge(from_uint8(low_res), stage.image_px)
    level = torch.full((len(seeds),), sampler.aug_level)
    noise = PictureNoise([stage_seed(seed, f"{stage.name} aug") for seed in seeds], shape=large.shape[1:])
    return augment(large, noise=noise(), level=level), aug_log_snr(level)


class _StatesByEncoder:
    """The texts' states for each encoder that a stage was trained with; given states serve all."""

    def __init__(self, texts: Sequence[str] | Sequence[np.ndarray], *, device: torch.device) -> None:
        self._texts, self._device = texts, device
        self._known: dict[TextConfig, list[np.ndarray]] = {}

    def of(self, config: TextConfig) -> list[np.ndarray]:
        if config not in self._known:
            captions = [text for text in self._texts if isinstance(text, str)]
            given = [text for text in self._texts if not isinstance(text, str)]
            if captions and given:
                raise ValueError("texts are captions or states, not both")
            self._known[config] = given or TextEncoder(config, str(self._device)).encode(captions)
        return self._known[config]


def _check_start(stage: StageConfig, start: np.ndarray | None, count: int) -> None:
    if stage.low_res_px is None:
        if start is not None:
            raise UserError(f"{stage.name} starts from noise; start pictures are for a first stage that enlarges")
        return
    wanted = (count, stage.low_res_px, stage.low_res_px, 3)
    if start is None or start.shape != wanted or start.dtype != np.uint8:
        got = "none" if start is None else f"{start.shape} {start.dtype}"
        raise UserError(f"{stage.name} enlarges: give start pictures {wanted} uint8, got {got}")


def _device(net: UNet) -> torch.device:
    return next(net.parameters()).device
