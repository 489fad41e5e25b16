"""Moving averages of the weights: fp32, from the masters, shared out over the ranks by parameter name.

    after n updates with decays d_1..d_n:   ema = sum_k w_k * (1 - d_k) * d_{k+1} * .. * d_n  +  w_0 * d_1 * .. * d_n

Each rank keeps the averages of its share of names, so a track costs 4 bytes a parameter over all ranks together.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .config import EmaConfig


def decay_at(config: EmaConfig, *, updates: int) -> float:
    """Return the decay of the update that follows `updates` done ones: small at first, to forget the start soon."""
    return min(config.decay, (1 + updates) / (10 + updates)) if config.warmup == "power" else config.decay


class Ema:
    """All tracks over one rank's share of the weights, which start as the weights are now."""

    def __init__(self, tracks: Mapping[str, EmaConfig], weights: Mapping[str, Tensor]) -> None:
        self.tracks = dict(tracks)
        self._weights = dict(weights)  # the live ones
        self.averages = {
            track: {name: weight.detach().float().clone() for name, weight in weights.items()} for track in tracks
        }

    @torch.no_grad()
    def start(self, track: str) -> None:
        """Let a track begin anew, with the weights as they are now."""
        for name, weight in self._weights.items():
            self.averages[track][name].copy_(weight.detach())

    @torch.no_grad()
    def update(self, *, updates: int) -> None:
        """Take the weights in, after an optimizer step that changed them. updates: how many came before."""
        if not self._weights:  # more ranks than names
            return
        live = [weight.detach() for weight in self._weights.values()]
        for track, config in self.tracks.items():
            share = 1.0 - decay_at(config, updates=updates)
            torch._foreach_lerp_(list(self.averages[track].values()), live, share)
