"""How many training steps fit into the minutes asked for: measured on this machine once, at the start."""

import time

import numpy as np
import torch

from cascade.stage import build
from training.config import TrainConfig
from training.loader import Batch
from training.objective import Objective

MEASURE_S = 4.0  # of each stage, after a first step that does not count
OVERHEAD = 1.25  # the real loop also reads, decodes, averages weights, validates and saves


def steps_for(config: TrainConfig, *, minutes: float) -> int:
    """Optimizer steps of this stage that take about `minutes` here; at least one."""
    return max(1, round(minutes * 60 / (OVERHEAD * seconds_per_step(config))))


def seconds_per_step(config: TrainConfig) -> float:
    """Of forward, backward and Adam on random numbers of the right shapes."""
    torch.manual_seed(0)
    objective = Objective(build(config.stage), config.stage, precision=config.precision)
    adam = torch.optim.AdamW(objective.parameters(), lr=1e-6, fused=True)
    batch = _noise(config)

    def step() -> None:
        for _ in range(config.batch // config.micro_batch):
            objective(batch).mean().backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    step()
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < MEASURE_S or steps < 2:
        step()
        steps += 1
    return (time.monotonic() - began) / steps


def _noise(config: TrainConfig, *, tokens: int = 14) -> Batch:
    """A micro-batch of the shapes of a real one. A caption of the quickstart has about 14 tokens."""
    count, stage = config.micro_batch, config.stage
    pictures = torch.rand(3, count, 3, stage.train_px, stage.train_px) * 2 - 1
    text, mask = torch.randn(count, tokens, stage.text_width), torch.ones(count, tokens, dtype=torch.bool)
    sr = stage.low_res_px is not None
    return Batch(
        positions=np.arange(count),
        keys=[""] * count,
        captions=[""] * count,
        x=pictures[0],
        noise=pictures[1],
        time=torch.rand(count),
        text=text,
        text_mask=mask,
        low_res=pictures[2] if sr else None,
        aug_level=torch.rand(count) if sr else None,
        aug_noise=torch.randn_like(pictures[2]) if sr else None,
        dropout=torch.arange(count, dtype=torch.int32),
    )
