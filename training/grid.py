"""What does it draw by now? A few fixed captions by the stage's own sampler, with averaged weights.

    half of the captions are held out, half are trained on; image n has seed n, so only the weights differ over time
    a stage that enlarges starts from the real image made small

The ranks share the images: with as many ranks as images each draws one. Every rank gathers the averages name by name.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cascade.generate import Cascade
from cascade.stage import build
from cascade.weights import LoadedStage
from storage.checkpoint import RAW

from .config import TrainConfig
from .data.dataset import Sample, Split
from .distributed import add_up, broadcast
from .ema import Ema
from .engine import Engine
from .validation import FixedSet


class GridItem(NamedTuple):
    """One image to draw."""

    split: Split
    sample: Sample
    embeds: np.ndarray  # (tokens, width) uint16


def items_of(config: TrainConfig, fixed_sets: Mapping[Split, FixedSet]) -> list[GridItem]:
    """Return what is drawn at every validation: held-out samples first, and as many as can be of either split."""
    count = config.validation.grid
    rows = {split: [*fixed.items()] for split, fixed in fixed_sets.items()}
    held_out, trained = rows.get("held_out", []), rows.get("train", [])
    of_held_out = min(len(held_out), max(count - count // 2, count - len(trained)))
    chosen = {"held_out": held_out[:of_held_out], "train": trained[: count - of_held_out]}
    return [GridItem(split, *row) for split, found in chosen.items() for row in found]  # type: ignore[arg-type]


def track_of(config: TrainConfig) -> str:
    """Return whose weights draw: those that `corgi sample` takes, else the first track's, else the raw ones."""
    return "ema" if "ema" in config.ema else next(iter(config.ema), RAW)


def draw(engine: Engine, ema: Ema, items: list[GridItem]) -> np.ndarray:
    """Return (n, px, px, 3) uint8, the same on every rank; all ranks call."""
    config, ranks = engine.config, engine.ranks
    stage, px = config.stage, config.stage.image_px
    rows = range(ranks.rank, len(items), ranks.world_size)
    weights = gathered(engine, ema, track_of(config), keep=len(rows) > 0)
    images = torch.zeros(len(items), px, px, 3, dtype=torch.uint8)
    if rows:
        with torch.device("meta"):
            net = build(stage)
        net.load_state_dict(weights, assign=True)
        net = net.eval().requires_grad_(False)
        loaded = LoadedStage(stage, config.text.encoder, net, step=0, track=track_of(config), folder=config.run)
        lows = [items[row].sample.image.low for row in rows]
        sampler = stage.sampler.model_copy(update={"steps": min(stage.sampler.steps, config.validation.grid_steps)})
        drawn = Cascade([loaded], config.precision).sample(
            [items[row].embeds[: config.text.max_tokens] for row in rows],
            [*rows],
            start=None if stage.low_res_px is None else as_start([low for low in lows if low is not None]),
            samplers={stage.name: sampler},
            batch=config.micro_batch,
        )
        images[[*rows]] = torch.from_numpy(drawn[stage.name])
    return add_up(images, ranks=ranks).numpy()


def gathered(engine: Engine, ema: Ema, track: str, *, keep: bool) -> dict[str, Tensor]:
    """Return all weights of a track, fp32 copies on this rank's device, none if they are not kept; all ranks call."""
    weights: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, param in engine.params.items():  # one at a time: a rank without images holds one at most
            averages = ema.averages.get(track, {})
            own = param.detach() if track == RAW else averages.get(name, param.detach())
            tensor = broadcast(own.float().clone(), source=engine.owner[name], ranks=engine.ranks)
            if keep:
                weights[name] = tensor
    return weights


def as_start(lows: list[Tensor]) -> np.ndarray:
    """Return low-res images (3, px, px) as the sampler wants them, (n, px, px, 3) uint8."""
    return torch.stack(lows).permute(0, 2, 3, 1).numpy()
