"""A stage of the cascade as data: its image sizes, its net, its diffusion, and how it is sampled by default.

stage:
  name: sr256
  image_px: 256
  low_res_px: 64
  text_width: 4096
  model: {kind: efficient}
"""

from typing import Annotated

from pydantic import Field, model_validator

from configs import Config, UserError

from .adm import AdmConfig, AdmUNet
from .diffusion import AugSchedule, DiffusionConfig
from .efficient import EfficientConfig, EfficientUNet
from .layers import UNet
from .samplers import SamplerConfig


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


def build(stage: StageConfig) -> UNet:
    """Return the stage's net, freshly initialised from torch's global seed. Works under `with torch.device("meta")`."""
    low_res = stage.low_res_px is not None
    if isinstance(stage.model, AdmConfig):
        return AdmUNet(stage.model, image_px=stage.image_px, text_width=stage.text_width, low_res=low_res)
    return EfficientUNet(stage.model, text_width=stage.text_width, low_res=low_res)
