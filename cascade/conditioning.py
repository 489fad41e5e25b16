"""What a net is conditioned on: the noise level and the text, made ready once per call.

    text_embeds (b, t, width) --LayerNorm, Linear--> (b, t, text_dim) --> K/V of every attention layer
                                                         `--attention pooling--+
    log-SNR --sinusoids, MLP---------------------------------------------------+--> embedding (b, emb) --> FiLM

Dimensions in comments: b batch, t text tokens, n positions, k heads, d channels of a head.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NullText


class Condition(NamedTuple):
    """What every block of a net gets beside its feature map."""

    embedding: Tensor  # (b, emb) of noise level and pooled text, already through SiLU
    text_embeds: Tensor  # (b, t, text_dim)
    text_mask: Tensor  # (b, t) bool
    dropout: Tensor | None = None  # (b,) int32 seeds of this call's dropout; None: no dropout


class TextEmbeds(NamedTuple):
    """Text embeds as a batch, padded to its longest text."""

    embeds: Tensor  # (batch, tokens, width) fp32
    mask: Tensor  # (batch, tokens) bool, at least one true a row


def null_text_embeds(
    batch: int, *, width: int, tokens: int = 1, device: torch.device | str | None = None
) -> TextEmbeds:
    """Return the text of "no text": zeros, one valid token, never an all-masked row (whose softmax would be NaN)."""
    mask = torch.zeros(batch, tokens, dtype=torch.bool, device=device)
    mask[:, 0] = True
    return TextEmbeds(torch.zeros(batch, tokens, width, device=device), mask)


def pad_text_embeds(
    text_embeds: Sequence[np.ndarray | None], *, width: int, max_tokens: int | None = None
) -> TextEmbeds:
    """Return the embeds of several texts as a batch. None or no token is the null text.

    text_embeds: (tokens, width) uint16 of each, the bits of bfloat16; max_tokens: longer ones are cut, None cuts none.
    """
    texts = [np.empty((0, width), np.uint16) if text is None else text[:max_tokens] for text in text_embeds]
    lengths = [max(len(text), 1) for text in texts]
    padded = np.zeros((len(texts), max(lengths), width), np.uint32)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    values = torch.from_numpy((padded << 16).view(np.float32))  # bfloat16 is the upper half of a float32
    return TextEmbeds(values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def sinusoids(log_snr: Tensor, channels: int) -> Tensor:
    """Return (b, channels) fp32 sines and cosines of (b,) log-SNR in [-20, 20].

    log-SNR is mapped to 1000..0, the range of ADM's time steps, for which the frequencies 1..1e-4 were chosen.
    """
    step = 25.0 * (20.0 - log_snr.float())
    half = channels // 2
    frequency = torch.exp(torch.arange(half, device=log_snr.device).float() * (-math.log(10_000) / half))
    angle = step[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)


class LevelEmbedding(nn.Module):
    """A log-SNR as a vector. Stays in the weights' own precision (fp32 under autocast)."""

    def __init__(self, channels: int, emb_dim: int) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Linear(channels, emb_dim)
        self.last = nn.Linear(emb_dim, emb_dim)

    def forward(self, log_snr: Tensor) -> Tensor:
        with _without_autocast(log_snr.device.type):
            features = sinusoids(log_snr, self.channels).to(self.first.weight.dtype)
            return self.last(F.silu(self.first(features)))


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Turn autocast off; the meta device has none."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class AttentionPool(nn.Module):
    """A learned query per head that looks over the text: (b, t, c) -> (b, out)."""

    def __init__(self, channels: int, out: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(channels) * 0.02)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.norm = nn.LayerNorm(channels)  # LayerNorm on the pooled text as on the sequence
        self.out = nn.Linear(channels, out)

    def forward(self, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        key, value = (split_heads(part, self.heads) for part in self.key_value(text_embeds).chunk(2, -1))
        query = split_heads(self.query.to(key.dtype).expand(len(text_embeds), 1, -1), self.heads)
        pooled = attend(query, key, value, text_mask[:, None, None])
        return self.out(self.norm(merge_heads(pooled)[:, 0]))


class Conditioning(nn.Module):
    """The layers that make a Condition, once per call. `aug`: the net also sees an augmentation level."""

    def __init__(
        self, channels: int, emb_dim: int, *, text_width: int, text_dim: int, aug: bool, null: NullText = "zeros"
    ) -> None:
        super().__init__()
        self.level = LevelEmbedding(channels, emb_dim)
        self.aug = LevelEmbedding(channels, emb_dim) if aug else None
        self.null = nn.Parameter(torch.randn(text_width) * 0.02) if null == "learned" else None
        self.norm = nn.LayerNorm(text_width)
        self.project = nn.Linear(text_width, text_dim)
        self.pool = AttentionPool(text_dim, emb_dim, heads=max(1, text_dim // 64))

    def forward(self, log_snr: Tensor, text_embeds: Tensor, text_mask: Tensor, aug_log_snr: Tensor | None) -> Condition:
        text_embeds = text_embeds.to(self.project.weight.dtype)
        if self.null is not None:  # rows of zeros are the null text, see null_text_embeds()
            is_null = (text_embeds == 0).all(-1, keepdim=True).all(1, keepdim=True)
            text_embeds = torch.where(is_null, self.null, text_embeds)
        text_embeds = self.project(self.norm(text_embeds))
        embedding = self.level(log_snr) + self.pool(text_embeds, text_mask)
        if (self.aug is None) != (aug_log_snr is None):
            raise ValueError("an SR net needs low_res and aug_log_snr, a base net takes neither")
        if self.aug is not None and aug_log_snr is not None:
            embedding = embedding + self.aug(aug_log_snr)
        return Condition(F.silu(embedding), text_embeds, text_mask)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (b, n, k d) into (b, k, n, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Turn (b, k, n, d) into (b, n, k d)."""
    return x.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Return softmax attention, (b, k, n, d). mask: bool, broadcast to (b, k, n, n_key), at least one true a row."""
    few_on_cpu = query.device.type == "cpu" and query.shape[-2] <= 128
    if not few_on_cpu:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # The fused CPU kernel's backward is 2 to 4 times slower than plain matrix products on so few positions.
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ value
