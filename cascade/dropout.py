"""Dropout that belongs to a sample: its mask is a function of the sample's seed and of the block, not of a generator.

So the same sample drops the same activations in any batch, on any rank, after any restart, and again when a block is
recomputed in the backward pass.
"""

import torch
from torch import Tensor

GOLDEN = -1640531527  # 2**32 / golden ratio as int32: neighbours land far apart
MIX_1, MIX_2 = -2048144789, -1028477387  # the finalizer of MurmurHash3 (Appleby, public domain), as int32


def dropout(h: Tensor, share: float, *, seeds: Tensor, number: int) -> Tensor:
    """Set `share` in [0, 1) of each sample's activations to 0; the rest grow by 1 / (1 - share).

    h: (b, c, h, w); seeds: (b,) int32, one a sample; number: of the block.
    """
    bits = mixed(seeds, number=number, count=h[0].numel()).view(h.shape)
    limit = round(share * 2**32) - 2**31  # bits are even over all of int32
    return torch.where(bits >= limit, h / (1 - share), 0.0)


def mixed(seeds: Tensor, *, number: int, count: int) -> Tensor:
    """Return (b, count) int32, even over its whole range. Products wrap around, on any device."""
    places = torch.arange(count, dtype=torch.int32, device=seeds.device) * GOLDEN
    return _mix(places + _mix(seeds + (number + 1) * 0x3C6EF35)[:, None])


def _mix(bits: Tensor) -> Tensor:
    """Make each bit depend on all of the input. Masks undo that a shift of int32 copies the sign."""
    bits = (bits ^ (bits >> 16 & 0xFFFF)) * MIX_1
    bits = (bits ^ (bits >> 13 & 0x7FFFF)) * MIX_2
    return bits ^ (bits >> 16 & 0xFFFF)
