"""The base model: ADM's U-Net (Dhariwal and Nichol 2021) with the text in the K/V of every attention layer.

    64 px   512 ch   r r r down
    32     1024      ra ra ra down        r   res block with FiLM
    16     1536      ra ra ra down        a   attention over pixels and text
     8     2048      ra ra ra             ra r  in the middle; up mirrors down with one more block a level

Plain ADM at 192 channels has 296 M parameters; its scaling to 512 channels is Imagen's "2B".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conditioning import Condition, Conditioning
from .config import AdmConfig
from .layers import Attention, Resample, ResBlock, UNet, norm_layer, number_res_blocks, zero_init


class Block(nn.Module):
    """A res block with its FiLM and, where `attention` says so, attention after it.

    skip: channels that are joined to the input on the way up, 0 for none.
    """

    def __init__(
        self,
        config: AdmConfig,
        c_in: int,
        c_out: int,
        *,
        skip: int = 0,
        attention: bool = False,
        resample: Resample = "none",
    ) -> None:
        super().__init__()
        self.joins_skip = skip > 0
        self.film = nn.Linear(4 * config.channels, 2 * c_out)
        self.res = ResBlock(c_in + skip, c_out, resample=resample, dropout=config.dropout)
        self.attention = _attention(config, c_out) if attention else None

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        h = self.res(x, self.film(condition.embedding), condition.dropout)
        return h if self.attention is None else self.attention(h, condition)


def _attention(config: AdmConfig, channels: int) -> Attention:
    heads = channels // config.head_channels
    return Attention(
        channels, over="self_text", hidden=channels, heads=heads, text_dim=config.text_dim, qk_norm=config.qk_norm
    )


class AdmUNet(UNet):
    """The net drawn at the top of the file. `low_res`: it also takes a low-res image and its noise level."""

    def __init__(self, config: AdmConfig, *, image_px: int, text_width: int, low_res: bool = False) -> None:
        super().__init__()
        self.patch = config.patch
        width = config.channels
        self.conditioning = Conditioning(
            width, 4 * width, text_width=text_width, text_dim=config.text_dim, aug=low_res, null=config.null_text
        )
        pixels = 3 * config.patch**2
        self.conv_in = nn.Conv2d(pixels * (2 if low_res else 1), width, 3, padding=1)
        deepest = width * config.multipliers[-1]
        self.down, skips = _way_down(config, image_px // config.patch)
        self.middle = nn.ModuleList([Block(config, deepest, deepest, attention=True), Block(config, deepest, deepest)])
        self.up = _way_up(config, image_px // config.patch, skips)
        self.norm_out = norm_layer(width * config.multipliers[0])
        self.conv_out = zero_init(nn.Conv2d(width * config.multipliers[0], pixels, 3, padding=1))
        number_res_blocks(self)

    def body(self, h: Tensor, condition: Condition) -> Tensor:
        h = self.conv_in(h)
        skips = [h]
        for block in self.down:
            h = self.run(block, h, condition)
            skips.append(h)
        for block in self.middle:
            h = self.run(block, h, condition)
        for block in self.up:
            if block.joins_skip:
                h = torch.cat([h, skips.pop()], 1)
            h = self.run(block, h, condition)
        return self.conv_out(F.silu(self.norm_out(h)))


def _way_down(config: AdmConfig, px: int) -> tuple[nn.ModuleList, list[int]]:
    """Return the blocks from `px` down, and the channels of all skips, the input conv's first."""
    channels, skips, blocks = config.channels, [config.channels], nn.ModuleList()
    for level, multiplier in enumerate(config.multipliers):
        if level:
            blocks.append(Block(config, channels, channels, resample="down"))
            skips.append(channels)
        for _ in range(config.res_blocks):
            attention = px >> level in config.attention_px
            blocks.append(Block(config, channels, config.channels * multiplier, attention=attention))
            channels = config.channels * multiplier
            skips.append(channels)
    return blocks, skips


def _way_up(config: AdmConfig, px: int, skips: list[int]) -> nn.ModuleList:
    """Return the blocks back up to `px`; each level takes one skip more than its own res blocks left: its input's."""
    channels, blocks = config.channels * config.multipliers[-1], nn.ModuleList()
    for level, multiplier in reversed(list(enumerate(config.multipliers))):
        c_out, attention = config.channels * multiplier, px >> level in config.attention_px
        for _ in range(config.res_blocks + 1):
            blocks.append(Block(config, channels, c_out, skip=skips.pop(), attention=attention))
            channels = c_out
        if level:
            blocks.append(Block(config, channels, channels, resample="up"))
    return blocks
