"""Small stages for the tests: the same code as the big ones, a few thousand weights."""

import torch
from torch import nn

from cascade.adm import AdmConfig
from cascade.conditioning import TextEmbeds
from cascade.efficient import EfficientConfig
from cascade.layers import UNet
from cascade.stage import StageConfig, build

WIDTH = 12  # of the text embeds

BASE = StageConfig(
    name="base16",
    image_px=16,
    text_width=WIDTH,
    model=AdmConfig(
        channels=16, multipliers=(1, 2), res_blocks=1, attention_px=(8,), head_channels=8, text_dim=16, qk_norm="rms"
    ),
)
SR = StageConfig(
    name="sr64",
    image_px=64,
    low_res_px=16,
    crop_px=32,
    text_width=WIDTH,
    model=EfficientConfig(
        channels=(16, 32),
        res_blocks=(1, 2),
        strides=(1, 2),
        attention=("none", "text"),
        heads=2,
        hidden=1,
        text_dim=16,
        patch=2,
        norm="position",
    ),
)


def awake(stage: StageConfig, seed: int = 0) -> UNet:
    """A net whose zero-initialised layers are random too, so that its output is not zero."""
    torch.manual_seed(seed)
    net = build(stage)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    return net.eval()


def inputs(stage: StageConfig, batch: int, px: int | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Arguments of one call."""
    draw = torch.Generator().manual_seed(seed)
    px = px or stage.train_px
    arguments = {
        "x": torch.randn(batch, 3, px, px, generator=draw),
        "log_snr": torch.linspace(-6, 6, batch),
        "text_embeds": torch.randn(batch, 5, WIDTH, generator=draw),
        "text_mask": torch.arange(5) < torch.tensor([[1 + row % 5] for row in range(batch)]),
    }
    if stage.low_res_px is not None:
        arguments |= {"low_res": torch.randn(batch, 3, px, px, generator=draw), "aug_log_snr": torch.zeros(batch)}
    return arguments


def with_text(arguments: dict[str, torch.Tensor], text: TextEmbeds) -> dict[str, torch.Tensor]:
    return arguments | {"text_embeds": text.embeds, "text_mask": text.mask}
