"""Captions to images, stage by stage.

    cascade = Cascade.load(["runs/x/train/base64", "runs/x/train/sr256"])
    images = cascade.sample(["a red apple"], seed=7)       {"base64": (1, 64, 64, 3) uint8, "sr256": ...}

Any run of stages will do: base alone, SR alone from given images. An SR stage gets the 8-bit image of the stage before,
enlarged by the kernel of training. All randomness belongs to an image's own seed and the stage's name.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from configs import UserError

from .conditioning import TextEmbeds, null_text_embeds, pad_text_embeds
from .config import Precision, SamplerConfig, StageConfig
from .device import find_device
from .diffusion import aug_log_snr, augment, to_x
from .layers import UNet
from .resize import enlarge, from_uint8, to_uint8
from .samplers import Denoise, SeededNoise, grid, guide, guides, sample, stage_seed, threshold
from .text_encoder import TextConfig, TextEmbedder
from .weights import LoadedStage, load_stage


@dataclass(frozen=True)
class Cascade:
    """Trained stages in order, each enlarging what the one before made."""

    stages: Sequence[LoadedStage]
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not self.stages:
            raise UserError("a cascade of no stage; give the run folder of one at least")
        if self.precision not in get_args(Precision):
            raise UserError(f"precision {self.precision!r} is none of {', '.join(get_args(Precision))}")
        for before, after in pairwise(self.stages):
            if after.config.low_res_px is None:
                raise UserError(
                    f"{before.config.name} and {after.config.name} both draw from text alone; give one of them, and "
                    f"those that enlarge what it makes"
                )
            if after.config.low_res_px != before.config.image_px:
                raise UserError(
                    f"{after.config.name} enlarges {after.config.low_res_px} px, but {before.config.name} makes "
                    f"{before.config.image_px} px; give every stage between the first and the last, in order"
                )

    @classmethod
    def load(
        cls,
        folders: Sequence[str | Path] | str | Path,
        *,
        track: str = "ema",
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> "Cascade":
        """Load stages from their run or checkpoint folders, given in any order; a folder alone is one stage.

        track: of the EMA weights; "params" are the raw ones. device: "cpu", "cuda", ... precision: bf16 is quicker
        where the machine computes in it.
        """
        device = find_device(device)
        folders = [folders] if isinstance(folders, str | Path) else folders
        stages = [load_stage(folder, track=track, device=device) for folder in folders]
        return cls(sorted(stages, key=lambda stage: stage.config.image_px), precision)

    def sample(
        self,
        texts: Sequence[str] | Sequence[np.ndarray],
        seeds: Sequence[int] | None = None,
        *,
        seed: int = 0,
        start: np.ndarray | None = None,
        samplers: Mapping[str, SamplerConfig] | None = None,
        batch: int = 16,
    ) -> dict[str, np.ndarray]:
        """Return one image per text from every stage, lowest first: {stage name: (n, px, px, 3) uint8, RGB 0 to 255}.

        texts: captions, or their embeds (tokens, width) uint16. seeds: one each; None: `seed` for the first text, and
        one more for each that follows. start: (n, px, px, 3) uint8 for a first stage that enlarges. samplers: what to
        use instead of a stage's own sampler config, by stage name. batch: images drawn at once; noise is an image's own
        whatever the batch, sums may round otherwise (1 of 255 in fp32).
        """
        _check_texts(texts)
        if batch < 1:
            raise UserError(f"batch {batch}: at least one image is drawn at once")
        seeds = range(seed, seed + len(texts)) if seeds is None else seeds
        if len(texts) != len(seeds):
            raise ValueError(f"one seed per text: got {len(texts)} texts and {len(seeds)} seeds")
        _check_start(self.stages[0].config, start, len(texts))
        chosen = {stage.config.name: stage.config.sampler for stage in self.stages} | dict(samplers or {})
        for stage in self.stages:  # all of them before the first one draws
            stage.config.check_sampler(chosen[stage.config.name])
        embeds = {config: self._embeds(config, texts) for config in dict.fromkeys(stage.text for stage in self.stages)}
        below = None if start is None else torch.from_numpy(start).permute(0, 3, 1, 2)
        images: dict[str, np.ndarray] = {}
        for stage in self.stages:
            parts = [slice(first, first + batch) for first in range(0, len(seeds), batch)]
            drawn = [
                generate(
                    stage.config,
                    stage.net,
                    text=pad_text_embeds(
                        embeds[stage.text][part], width=stage.config.text_width, max_tokens=stage.max_tokens
                    ),
                    seeds=seeds[part],
                    low_res=None if stage.config.low_res_px is None or below is None else below[part],
                    sampler=chosen[stage.config.name],
                    precision=self.precision,
                )
                for part in parts
            ]
            below = torch.cat(drawn)
            images[stage.config.name] = below.permute(0, 2, 3, 1).numpy()
        return images

    def _embeds(self, config: TextConfig, texts: Sequence[str] | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Return the texts' embeds by the encoder that a stage was trained with; given embeds serve all stages."""
        captions = [text for text in texts if isinstance(text, str)]
        given = [text for text in texts if not isinstance(text, str)]
        if captions and given:
            raise ValueError("texts are captions or embeds, not both")
        return given or self._embedder(config, captions)

    @cached_property
    def _embedder(self) -> TextEmbedder:
        """Return the encoders of this cascade's captions, which stay loaded as long as its nets do."""
        return TextEmbedder(device=str(_device(self.stages[0].net)))


@torch.inference_mode()
def generate(
    stage: StageConfig,
    net: UNet,
    *,
    text: TextEmbeds,
    seeds: Sequence[int],
    low_res: Tensor | None = None,
    sampler: SamplerConfig | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """Return one batch of one stage's images, (n, 3, px, px) uint8 on the CPU.

    low_res: (n, 3, low_res_px, low_res_px) uint8, for a stage that enlarges. sampler: None takes the stage's own.
    Raises UserError for a sampler whose aug_level the net was not trained on.
    """
    sampler, device = sampler or stage.sampler, _device(net)
    stage.check_sampler(sampler)
    enlarged, aug = _low_res_input(stage, sampler, low_res, seeds)
    denoise = denoiser(
        stage,
        net,
        sampler,
        text=TextEmbeds(*(part.to(device) for part in text)),
        low_res=None if enlarged is None else enlarged.to(device),
        aug=None if aug is None else aug.to(device),
        precision=precision,
    )
    shape = (3, stage.image_px, stage.image_px)
    noise = SeededNoise([stage_seed(seed, stage.name) for seed in seeds], shape=shape, device=device)
    return to_uint8(sample(sampler, denoise, grid=grid(sampler, stage.diffusion), z=noise(), noise=noise)).cpu()


def denoiser(
    stage: StageConfig,
    net: UNet,
    sampler: SamplerConfig,
    *,
    text: TextEmbeds,
    low_res: Tensor | None = None,
    aug: Tensor | None = None,
    precision: Precision = "fp32",
) -> Denoise:
    """Return the net as x-hat of (z, log-SNR), guided and thresholded. With and without text share one call.

    low_res: (n, 3, px, px), enlarged and augmented; aug: (n,) the log-SNR of its augmentation.
    """
    batch, tokens, width = text.embeds.shape
    null = null_text_embeds(batch, width=width, tokens=tokens, device=text.embeds.device)
    low = {"low_res": low_res, "aug_log_snr": aug} if low_res is not None and aug is not None else {}
    with_text = {"text_embeds": text.embeds, "text_mask": text.mask, **low}
    without = {"text_embeds": null.embeds, "text_mask": null.mask, **low}
    both = {name: torch.cat([value, without[name]]) for name, value in with_text.items()}

    def x_hat(z: Tensor, log_snr: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        log_snr = log_snr.float().expand(len(z)).to(z.device)
        with torch.autocast(z.device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            output = net(z, log_snr, **inputs)
        return to_x(stage.diffusion.prediction, output, z=z, log_snr=log_snr)

    def denoise(z: Tensor, log_snr: Tensor) -> Tensor:
        if not guides(sampler, log_snr):
            return threshold(sampler, x_hat(z, log_snr, with_text))
        conditional, unconditional = x_hat(torch.cat([z, z]), log_snr, both).chunk(2)
        return threshold(sampler, guide(conditional, unconditional, sampler.guidance))

    return denoise


def _low_res_input(
    stage: StageConfig, sampler: SamplerConfig, low_res: Tensor | None, seeds: Sequence[int]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the low-res images as the net was trained to see them, and the log-SNR of their augmentation."""
    if stage.low_res_px is None or low_res is None:
        return None, None
    enlarged = enlarge(from_uint8(low_res), stage.image_px)
    level = torch.full((len(seeds),), sampler.aug_level)
    noise = SeededNoise([stage_seed(seed, f"{stage.name} aug") for seed in seeds], shape=enlarged.shape[1:])
    augmented = augment(enlarged, noise=noise(), level=level, schedule=stage.aug_schedule)
    return augmented, aug_log_snr(level, schedule=stage.aug_schedule)


def _check_texts(texts: Sequence[object]) -> None:
    """Raise UserError for what is no list of captions or of embeds."""
    if isinstance(texts, str):
        raise UserError(f"captions are a list: write [{texts!r}]")
    if not len(texts):
        raise UserError("nothing to draw; give a caption at least")
    for text in texts:
        if not isinstance(text, str | np.ndarray):
            raise UserError(f"a text is a caption, or its embeds as an array; got {text!r}")
        if isinstance(text, np.ndarray) and (text.dtype != np.uint16 or text.ndim != 2):
            raise UserError(f"embeds are (tokens, width) uint16, bits of bfloat16; got {text.shape} {text.dtype}")


def _check_start(stage: StageConfig, start: np.ndarray | None, count: int) -> None:
    if stage.low_res_px is None:
        if start is not None:
            raise UserError(f"{stage.name} starts from noise; start pictures are for a first stage that enlarges")
        return
    shape = (count, stage.low_res_px, stage.low_res_px, 3)
    if start is None or start.shape != shape or start.dtype != np.uint8:
        got = "none" if start is None else f"{start.shape} {start.dtype}"
        raise UserError(f"{stage.name} enlarges: give start pictures {shape} uint8, got {got}")


def _device(net: UNet) -> torch.device:
    return next(net.parameters()).device
