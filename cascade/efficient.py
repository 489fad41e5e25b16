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

from torch import Tensor, nn
from torch.nn import functional as F

from .conditioning import Condition, Conditioning
from .config import EfficientConfig
from .layers import Attention, ResBlock, UNet, norm_layer, number_res_blocks, zero_init


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
