"""The SR model: Imagen's Efficient U-Net (appendix B.1, F.2, F.3).

    in --conv--> 128 --DBlock--> 256 --DBlock--> 512 --DBlock--> 1024 --DBlock--.
                  |               |               |               |   (deepest: attention)
    out <-conv-- 128 <-UBlock-- 256 <-UBlock-- 512 <-UBlock-- 1024 <-UBlock-----'

A DBlock halves its input before the res blocks, a UBlock doubles it after them, so that the many res blocks of the deep
levels work on few pixels. What a DBlock was given is added, scaled by 1/sqrt(2), to what the UBlock of its level
puts out: both have the same size and width. Without self-attention the net is fully convolutional: it trains on crops
and runs on whole images.
"""

import math
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from configs import Config

from .conditioning import Condition, Conditioning, NullText
from .layers import Attention, Norm, QkNorm, ResBlock, UNet, norm_layer, number_res_blocks, zero_init

LevelAttention = Literal["none", "text", "self_text"]


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


class Stack(nn.Module):
    """The res blocks of one D/UBlock with their FiLM and attention, all at one size and width."""

    def __init__(self, config: EfficientConfig, level: int) -> None:
        super().__init__()
        channels, count = config.channels[level], config.res_blocks[level]
        over = config.attention[level]
        emb_dim = 4 * config.channels[0]
        self.res = nn.ModuleList(
            ResBlock(channels, channels, skip="conv", norm=config.norm, dropout=config.dropout) for _ in range(count)
        )
        films = 1 if config.film_per == "block" else count
        self.film = nn.ModuleList(nn.Linear(emb_dim, 2 * channels) for _ in range(films))
        places = {"block": [count - 1], "resblock": list(range(count))}[config.attn_per]
        self.attention = nn.ModuleDict()  # by the place of the res block that it follows
        for place in places if over != "none" else []:
            self.attention[str(place)] = Attention(
                channels,
                over="text" if over == "text" else "self_text",
                hidden=config.hidden * channels,
                heads=config.heads,
                text_dim=config.text_dim,
                qk_norm=config.qk_norm,
                norm=config.norm,
            )

    def forward(self, h: Tensor, condition: Condition) -> Tensor:
        films = [film(condition.embedding) for film in self.film]
        for place, res in enumerate(self.res):
            h = res(h, films[min(place, len(films) - 1)], condition.dropout)
            if str(place) in self.attention:
                h = self.attention[str(place)](h, condition)
        return h


class DBlock(nn.Module):
    """A strided conv, then the res blocks."""

    def __init__(self, config: EfficientConfig, level: int) -> None:
        super().__init__()
        c_in, c_out = config.channels[max(level - 1, 0)], config.channels[level]
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=config.strides[level], padding=1)
        self.stack = Stack(config, level)

    def forward(self, h: Tensor, condition: Condition) -> Tensor:
        return self.stack(self.conv(h), condition)


class UBlock(nn.Module):
    """The res blocks, then upsampling (nearest, then a conv, which leaves no checkerboard)."""

    def __init__(self, config: EfficientConfig, level: int) -> None:
        super().__init__()
        self.stack = Stack(config, level)
        self.stride = config.strides[level]
        self.conv = nn.Conv2d(config.channels[level], config.channels[max(level - 1, 0)], 3, padding=1)

    def forward(self, h: Tensor, condition: Condition) -> Tensor:
        h = self.stack(h, condition)
        if self.stride > 1:
            h = F.interpolate(h, scale_factor=float(self.stride), mode="nearest")
        return self.conv(h)


class EfficientUNet(UNet):
    """The net drawn at the top of the file. `low_res`: it also takes a low-res image and its noise level."""

    def __init__(self, config: EfficientConfig, *, text_width: int, low_res: bool = True) -> None:
        super().__init__()
        self.patch = config.patch
        width = config.channels[0]
        self.conditioning = Conditioning(
            width, 4 * width, text_width=text_width, text_dim=config.text_dim, aug=low_res, null=config.null_text
        )
        pixels = 3 * config.patch**2
        self.conv_in = nn.Conv2d(pixels * (2 if low_res else 1), width, 3, padding=1)
        levels = range(len(config.channels))
        self.down = nn.ModuleList(DBlock(config, level) for level in levels)
        self.up = nn.ModuleList(UBlock(config, level) for level in reversed(levels))
        self.norm_out = norm_layer(width, config.norm)
        self.conv_out = zero_init(nn.Conv2d(width, pixels, 3, padding=1))
        number_res_blocks(self)

    def body(self, h: Tensor, condition: Condition) -> Tensor:
        h = self.conv_in(h)
        skips = []
        for block in self.down:
            skips.append(h)
            h = self.run(block, h, condition)
        for block in self.up:
            h = self.run(block, h, condition) + skips.pop() * math.sqrt(0.5)
        return self.conv_out(F.silu(self.norm_out(h)))
