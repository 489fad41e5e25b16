"""A stage of the cascade as data: its picture sizes, its net, its diffusion, and how it is sampled by default.

stage:
  name: sr256
  image_px: 256
  low_res_px: 64
  text_width: 4096
  model: {kind: efficient}
"""

from typing import Annotated

from pydantic import Field, model_validator

from configs import Config

from .adm import AdmConfig, AdmUNet
from .diffusion import DiffusionConfig
from .efficient import EfficientConfig, EfficientUNet
from .layers import UNet
from .sampler import SamplerConfig


class StageConfig(Config):
    """Everything that is needed to build a stage's net and to sample from it."""

    name: str
    image_px: int = Field(gt=0)  # side of the square pictures this stage makes
    low_res_px: int | None = Field(default=None, gt=0)  # side of the pictures it enlarges; None for a base stage
    crop_px: int | None = Field(default=None, gt=0)  # side of the training crops; None trains on whole pictures
    aug_level_max: float = Field(default=1.0, ge=0, le=1)  # training draws the augmentation level from [0, this]
    text_width: int = Field(gt=0)  # width of the text encoder's states: MiniLM 384, T5-XXL 4096
    model: Annotated[AdmConfig | EfficientConfig, Field(discriminator="kind")]
    diffusion: DiffusionConfig = DiffusionConfig()
    sampler: SamplerConfig = SamplerConfig()

    @property
    def train_px(self) -> int:
        """Side of what the net sees in training."""
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
        return self

    def _check_crop(self, crop_px: int) -> None:
        if crop_px > self.image_px:
            raise ValueError(f"crop_px {crop_px} is larger than image_px {self.image_px}")
        if self.model.uses_self_attention:
            raise ValueError("training on crops needs a net without self-attention; use attention: text, or no crop_px")
        if self.low_res_px is None:
            raise ValueError("a base stage sees whole pictures: leave out crop_px")


def build(stage: StageConfig) -> UNet:
    """The stage's net, freshly initialised from torch's global seed. Works under `with torch.device("meta")`."""
    low_res = stage.low_res_px is not None
    if isinstance(stage.model, AdmConfig):
        return AdmUNet(stage.model, image_px=stage.image_px, text_width=stage.text_width, low_res=low_res)
    return EfficientUNet(stage.model, text_width=stage.text_width, low_res=low_res)
