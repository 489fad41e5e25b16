"""A stage of the cascade as data: its image sizes, its net, its diffusion, and how it is sampled by default.

stage:
  name: sr256
  image_px: 256
  low_res_px: 64
  text_width: 4096
  model: {kind: efficient}

What is said here is computed in adm, efficient, diffusion and samplers. Imports no torch: a config is read in a moment.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs import Config, UserError

Precision = Literal["fp32", "bf16"]
QkNorm = Literal["none", "rms"]
Norm = Literal["group", "position"]
NullText = Literal["zeros", "learned"]
LevelAttention = Literal["none", "text", "self_text"]
Prediction = Literal["eps", "x", "v"]
Weighting = Literal["eps", "x", "v", "min_snr", "sigmoid"]
Schedule = Literal["cosine", "shifted_cosine", "linear"]
AugSchedule = Literal["cosine", "linear"]
Method = Literal["ddpm", "ddim", "dpmpp_2m", "heun"]


class AdmConfig(Config):
    """An ADM U-Net; the defaults are the paper's base model."""

    kind: Literal["adm"] = "adm"  # which net: Dhariwal and Nichol's
    channels: int = Field(default=512, gt=0)  # width at full size
    multipliers: tuple[int, ...] = (1, 2, 3, 4)  # channels of each level, in units of `channels`
    res_blocks: int = Field(default=3, gt=0)  # per level; one more on the way up
    attention_px: tuple[int, ...] = (32, 16, 8)  # feature map sizes that get attention
    head_channels: int = Field(default=64, gt=0)  # width of one head of attention
    text_dim: int = Field(default=512, gt=0)  # text embeds are projected to this width
    qk_norm: QkNorm = "none"  # of queries and keys before attention
    null_text: NullText = "zeros"  # what stands for no text
    patch: int = Field(default=1, gt=0)  # pixels folded into channels at both ends
    dropout: float = Field(default=0.0, ge=0, lt=1)  # in the res blocks, as in ADM; for few images

    @property
    def stride(self) -> int:
        """Return what image sizes must be multiples of."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def uses_self_attention(self) -> bool:
        """Return True: the middle block has it whatever attention_px says."""
        return True

    @model_validator(mode="after")
    def _check(self) -> "AdmConfig":
        for multiplier in self.multipliers:
            if (self.channels * multiplier) % self.head_channels:
                raise ValueError(
                    f"head_channels {self.head_channels} must divide channels x {multiplier} = "
                    f"{self.channels * multiplier}"
                )
        return self


class EfficientConfig(Config):
    """An Efficient U-Net; the defaults are the paper's SR256 in the reading that gives its 600M.

    One entry a level, shallow to deep. `attn_per` says where the attention layers of a level stand: one after the
    level's last res block (`block`, as the paper draws) or one after each (`resblock`, which alone adds up to "600M").
    `film_per`: one FiLM projection for all res blocks of a D/UBlock (`block`, the paper's CombineEmbs) or one each.
    """

    kind: Literal["efficient"] = "efficient"  # which net: Imagen's Efficient U-Net
    channels: tuple[int, ...] = (128, 256, 512, 1024)  # width of each level
    res_blocks: tuple[int, ...] = (2, 4, 8, 8)  # of each level, on the way down and up
    strides: tuple[Literal[1, 2], ...] = (2, 2, 2, 2)  # by which each level makes its input smaller
    attention: tuple[LevelAttention, ...] = ("none", "none", "none", "self_text")  # of each level: to what
    attn_per: Literal["block", "resblock"] = "resblock"  # one layer a level, or one after each of its res blocks
    film_per: Literal["block", "resblock"] = "block"  # one projection of the time a level, or one a res block
    heads: int = Field(default=8, gt=0)  # of attention
    hidden: int = Field(default=2, gt=0)  # width of attention in units of the level's channels
    text_dim: int = Field(default=1024, gt=0)  # text embeds are projected to this width
    qk_norm: QkNorm = "none"  # of queries and keys before attention
    norm: Norm = "group"  # position: strictly local, so that a crop is treated as it is within the whole image
    null_text: NullText = "zeros"  # what stands for no text
    patch: int = Field(default=1, gt=0)  # pixels folded into channels at both ends: 4 runs 256 px on a 64 x 64 grid
    dropout: float = Field(default=0.0, ge=0, lt=1)  # in the res blocks; the paper has none

    @property
    def stride(self) -> int:
        """Return what image and crop sizes must be multiples of."""
        return self.patch * math.prod(self.strides)

    @property
    def uses_self_attention(self) -> bool:
        """Return whether pixels attend to pixels, so that a crop is not treated as the whole image is."""
        return "self_text" in self.attention

    @model_validator(mode="after")
    def _check(self) -> "EfficientConfig":
        for name in ("res_blocks", "strides", "attention"):
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} must have one entry per level of channels {self.channels}")
        for channels, attention in zip(self.channels, self.attention, strict=True):
            if attention != "none" and channels * self.hidden % self.heads:
                raise ValueError(f"heads {self.heads} must divide channels x hidden = {channels * self.hidden}")
        return self


class DiffusionConfig(Config):
    """How one stage's noise is drawn, what its net predicts, and how errors are weighed.

    `paper` presets: cosine (linear for SR1024), eps, weighting eps.
    """

    schedule: Schedule = "cosine"  # log-SNR by time
    shift: float = 0.0  # added to the log-SNR of shifted_cosine; 2 log(64 / image_px) for full images above 64 px
    prediction: Prediction = "v"  # what the net says: noise, image, or velocity
    weighting: Weighting = "sigmoid"  # of errors by log-SNR: equal in eps, x or v, or as named
    min_snr: float = Field(default=5.0, gt=0)  # gamma of weighting min_snr (2303.09556)
    sigmoid_bias: float = 0.0  # b of weighting sigmoid (SiD2, 2410.19324): weight falls above this log-SNR
    log_snr_clip: tuple[float, float] = (-20.0, 20.0)  # between which log-SNR is kept

    @model_validator(mode="after")
    def _check(self) -> "DiffusionConfig":
        if self.log_snr_clip[0] >= self.log_snr_clip[1]:
            raise ValueError(f"log_snr_clip must rise, got {self.log_snr_clip}; write [low, high]")
        if self.shift and self.schedule != "shifted_cosine":
            raise ValueError(f"shift {self.shift} needs schedule: shifted_cosine, got {self.schedule}")
        return self


class SamplerConfig(Config):
    """How images are drawn; nothing here needs training anew."""

    method: Method = "ddpm"  # how a step is taken; ddpm alone draws noise at each
    steps: int = Field(default=128, gt=0, le=10_000)  # of the grid; heun asks the net twice a step, guidance once more
    grid: Literal["schedule", "edm"] = "schedule"  # uniform in the schedule's time, or EDM's sigma .002..80, rho 7
    gamma: float = Field(default=0.3, ge=0, le=1)  # ddpm: how its variance is interpolated (Imagen, eq. 6)
    guidance: float = Field(default=1.35, ge=0, allow_inf_nan=False)  # 1 is conditional, 0 unconditional
    guidance_interval: tuple[float, float] = (-20.0, 20.0)  # log-SNR range in which guidance acts
    threshold: Literal["none", "static", "dynamic"] = "dynamic"  # of x-hat: cut at 1, or by percentile (Imagen, 2.3)
    percentile: float = Field(default=99.5, gt=0, le=100)  # of abs(x-hat), for the dynamic threshold
    aug_level: float = Field(default=0.0, ge=0, le=1)  # SR stages: noise on the low-res input, which the net is told

    @model_validator(mode="after")
    def _check(self) -> "SamplerConfig":
        if self.method == "heun" and self.grid != "edm":
            raise ValueError("method heun needs grid: edm; the wide first step of the schedule's grid breaks it")
        if self.guidance_interval[0] >= self.guidance_interval[1]:
            raise ValueError(f"guidance_interval must rise, got {self.guidance_interval}; write [low, high] of log-SNR")
        return self


class StageConfig(Config):
    """Everything that is needed to build a stage's net and to sample from it."""

    name: str  # of the stage in reports, checkpoints and evaluations, e.g. base64
    image_px: int = Field(gt=0)  # side of the square images this stage makes
    low_res_px: int | None = Field(default=None, gt=0)  # side of the images it enlarges; null for a base stage
    crop_px: int | None = Field(default=None, gt=0)  # side of the training crops; null trains on whole images
    aug_level_max: float = Field(default=1.0, ge=0, le=1)  # training draws the augmentation level from [0, this]
    aug_schedule: AugSchedule = "cosine"  # which log-SNR a level stands for; stored nets without this field mean cosine
    text_width: int = Field(gt=0)  # of the text encoder's embeds: MiniLM 384, T5-XXL 4096
    model: Annotated[AdmConfig | EfficientConfig, Field(discriminator="kind")]  # the net, of the kind that `kind` names
    diffusion: DiffusionConfig = DiffusionConfig()
    sampler: SamplerConfig = SamplerConfig()

    @property
    def train_px(self) -> int:
        """Return the side of what the net sees in training."""
        return self.crop_px or self.image_px

    @model_validator(mode="after")
    def _check(self) -> "StageConfig":
        if self.low_res_px is not None and self.image_px % self.low_res_px:
            raise ValueError(f"low_res_px {self.low_res_px} must divide image_px {self.image_px}")
        for px in (self.image_px, self.train_px):
            if px % self.model.stride:
                raise ValueError(f"the net needs sizes in multiples of {self.model.stride} px, got {px}")
        if self.crop_px is not None:
            self._check_crop(self.crop_px)
        self.check_sampler(self.sampler)
        return self

    def check_sampler(self, sampler: SamplerConfig) -> None:
        """Raise UserError for a sampler with an augmentation level that the net has never seen."""
        if sampler.aug_level > self.aug_level_max:
            raise UserError(
                f"the sampler's aug_level {sampler.aug_level} is above the aug_level_max {self.aug_level_max} that "
                f"{self.name} is trained up to; lower the sampler's, or train with a higher aug_level_max"
            )

    def _check_crop(self, crop_px: int) -> None:
        if crop_px > self.image_px:
            raise ValueError(f"crop_px {crop_px} is larger than image_px {self.image_px}")
        if self.model.uses_self_attention:
            raise ValueError("training on crops needs a net without self-attention; use attention: text, or no crop_px")
        if self.low_res_px is None:
            raise ValueError("a base stage sees whole pictures: leave out crop_px")
