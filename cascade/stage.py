"""From a stage's config to its net."""

from .adm import AdmUNet
from .config import AdmConfig, StageConfig
from .efficient import EfficientUNet
from .layers import UNet


def build(stage: StageConfig) -> UNet:
    """Return the stage's net, freshly initialised from torch's global seed. Works under `with torch.device("meta")`."""
    low_res = stage.low_res_px is not None
    if isinstance(stage.model, AdmConfig):
        return AdmUNet(stage.model, image_px=stage.image_px, text_width=stage.text_width, low_res=low_res)
    return EfficientUNet(stage.model, text_width=stage.text_width, low_res=low_res)
