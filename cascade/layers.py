"""Blocks that both U-Nets are made of: res block, attention over image and text, and the call they share.

Dimensions in comments: b batch, c channels, h w feature map, t text tokens.
Nothing here draws random numbers, not even dropout: a net's output depends on its weights and inputs only.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .conditioning import Condition, Conditioning, attend, merge_heads, split_heads
from .config import Norm, QkNorm
from .dropout import dropout

Resample = Literal["none", "down", "up"]


class HeadNorm(nn.RMSNorm):
    """RMSNorm over a head's channels, in the precision of what it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class PositionNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position: (b, c, h, w) -> same.

    GroupNorm's statistics span the image; without them a net sees a crop exactly as it sees the whole image.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def norm_layer(channels: int, norm: Norm = "group") -> nn.GroupNorm | PositionNorm:
    """Return PositionNorm, or GroupNorm of 32 groups (fewer where 32 does not divide) with statistics in fp32."""
    return PositionNorm(channels) if norm == "position" else nn.GroupNorm(math.gcd(32, channels), channels)


def zero_init(module: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Set the last layer of a branch to zero, so that every block starts as the identity."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


class ResBlock(nn.Module):
    """norm, SiLU, conv, norm with FiLM, SiLU, conv (zero at start), plus the skip; "biggan" resampling inside.

    x: (b, c_in, h, w); film: (b, 2 c_out) scale and shift; seeds: of the dropout before the last conv, see dropout.py
    -> (b, c_out, h', w').
    """

    number = 0  # of this block in its net: no two draw the same dropout

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        resample: Resample = "none",
        skip: Literal["as_needed", "conv"] = "as_needed",
        norm: Norm = "group",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.resample, self.dropout = resample, dropout
        self.norm_in = norm_layer(c_in, norm)
        self.conv_in = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm_out = norm_layer(c_out, norm)
        self.conv_out = zero_init(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Identity() if c_in == c_out and skip == "as_needed" else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, film: Tensor, seeds: Tensor | None = None) -> Tensor:
        h = self.conv_in(resample(F.silu(self.norm_in(x)), self.resample))
        scale, shift = film[:, :, None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        h = F.silu(h)
        if self.dropout and seeds is not None:
            h = dropout(h, self.dropout, seeds=seeds, number=self.number)
        return self.skip(resample(x, self.resample)) + self.conv_out(h)


def number_res_blocks(net: nn.Module) -> None:
    """Give the res blocks their numbers, in the order of the net."""
    for number, block in enumerate(module for module in net.modules() if isinstance(module, ResBlock)):
        block.number = number


def resample(x: Tensor, how: Resample) -> Tensor:
    """Return (b, c, h, w) at half the size, twice the size, or as it is."""
    if how == "down":
        return F.avg_pool2d(x, 2)
    return F.interpolate(x, scale_factor=2.0, mode="nearest") if how == "up" else x


class Attention(nn.Module):
    """Attention of pixels to text, or to all pixels and the text in one softmax (text concatenated to K and V).

    x: (b, c, h, w) -> same; the last projection is zero at start.
    """

    def __init__(
        self,
        channels: int,
        *,
        over: Literal["self_text", "text"],
        hidden: int,
        heads: int,
        text_dim: int,
        qk_norm: QkNorm = "none",
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        self.heads, self.over = heads, over
        self.norm = norm_layer(channels, norm)
        self.pixels = nn.Linear(channels, 3 * hidden if over == "self_text" else hidden)
        self.text = nn.Linear(text_dim, 2 * hidden)
        self.norm_q = HeadNorm(hidden // heads) if qk_norm == "rms" else nn.Identity()
        self.norm_k = HeadNorm(hidden // heads) if qk_norm == "rms" else nn.Identity()
        self.out = zero_init(nn.Linear(hidden, channels))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        b, c, h, w = x.shape
        pixels = self.pixels(self.norm(x).permute(0, 2, 3, 1).reshape(b, h * w, c))
        key, value = self.text(condition.text_embeds).chunk(2, -1)
        mask = condition.text_mask
        if self.over == "self_text":
            pixels, key_pixels, value_pixels = pixels.chunk(3, -1)
            key, value = torch.cat([key, key_pixels], 1), torch.cat([value, value_pixels], 1)
            mask = F.pad(mask, (0, h * w), value=True)
        query, key, value = (split_heads(part, self.heads) for part in (pixels, key, value))
        query, key = self.norm_q(query), self.norm_k(key)
        attended = attend(query, key, value, mask[:, None, None])
        return x + self.out(merge_heads(attended)).reshape(b, h, w, c).permute(0, 3, 1, 2)


class UNet(nn.Module, ABC):
    """What both nets share: the patch at the edges, the call, and recomputing blocks in the backward pass.

    `recompute` may be set to "block" where memory is short.
    """

    recompute: Literal["none", "block"] = "none"
    patch: int
    conditioning: Conditioning
    conv_in: nn.Conv2d

    def run(self, block: nn.Module, *args: Tensor | Condition) -> Tensor:
        """Return what a block makes of its arguments; it is computed again in the backward pass if so chosen."""
        if self.recompute == "block" and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)

    @abstractmethod
    def body(self, h: Tensor, condition: Condition) -> Tensor:
        """Turn (b, c_in p^2, H/p, W/p) into (b, 3 p^2, H/p, W/p)."""

    def forward(
        self,
        x: Tensor,
        log_snr: Tensor,
        *,
        text_embeds: Tensor,
        text_mask: Tensor,
        low_res: Tensor | None = None,
        aug_log_snr: Tensor | None = None,
        dropout: Tensor | None = None,
    ) -> Tensor:
        """Return the head's output, (b, 3, H, W) fp32.

        x: (b, 3, H, W) noisy images; log_snr: (b,); text_embeds: (b, t, text_width); text_mask: (b, t) bool, at least
        one true a row. low_res: (b, 3, H, W), resized and augmented by the caller; aug_log_snr: (b,) its level.
        dropout: (b,) int32, a seed for each sample in training; without it nothing is dropped.
        """
        condition = self.conditioning(log_snr, text_embeds, text_mask, aug_log_snr)._replace(dropout=dropout)
        h = x if low_res is None else torch.cat([x, low_res], 1)
        h = h.to(self.conv_in.weight.dtype)
        h = F.pixel_unshuffle(h, self.patch) if self.patch > 1 else h
        h = self.body(h, condition)
        return (F.pixel_shuffle(h, self.patch) if self.patch > 1 else h).float()
