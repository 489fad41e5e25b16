"""What suits this machine, measured once at the start: the precision, and the steps that fit into the minutes."""

import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from cascade.config import Precision
from cascade.stage import build
from training.config import TrainConfig
from training.data.crops import with_low_res
from training.data.dataset import Place, Sample
from training.data.loader import Batch, assemble, dropout_seeds, padded_text
from training.loss import DiffusionLoss

MEASURE_S = 4.0  # of each stage, after a first step that does not count
ROUNDS = 4  # of each precision
OVERHEAD = 1.25  # the real loop also reads, decodes, averages weights, validates and saves


def quicker_precision() -> Precision:
    """Return bf16 where this CPU computes in it, else fp32: where it does not, bf16 takes ten times as long."""
    conv, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(8, 64, 32, 32)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):  # in turns, and the best of each counts: what else runs here slows any of them
        for is_bf16, rounds in seconds.items():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                conv(x)
                began = time.process_time()
                for _ in range(5):
                    conv(x)
                rounds.append(time.process_time() - began)
    return "bf16" if min(seconds[True]) < min(seconds[False]) else "fp32"


def steps_for(config: TrainConfig, *, minutes: float) -> int:
    """Return how many optimizer steps of this stage take about `minutes` here; at least one, which is not measured."""
    return 1 if not minutes else max(1, round(minutes * 60 / (OVERHEAD * seconds_per_step(config))))


def seconds_per_step(config: TrainConfig) -> float:
    """Return the seconds of forward, backward and Adam on random numbers of the right shapes."""
    torch.manual_seed(0)
    loss = DiffusionLoss(build(config.stage), config.stage, precision=config.precision)
    adam = torch.optim.AdamW(loss.parameters(), lr=1e-6, fused=True)
    batch = _noise(config)

    def step() -> None:
        for _ in range(config.batch // config.micro_batch):
            loss(batch).mean().backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    step()
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < MEASURE_S or steps < 2:
        step()
        steps += 1
    return (time.monotonic() - began) / steps


def _noise(config: TrainConfig, *, tokens: int = 14) -> Batch:
    """Return a micro-batch of the shapes of a real one. A caption of the quickstart has about 14 tokens."""
    stage, positions = config.stage, np.arange(config.micro_batch)
    full = torch.randint(0, 256, (3, stage.image_px, stage.image_px), dtype=torch.uint8)
    sample = Sample(Place(0, 0), "", "", with_low_res(full, low_res_px=stage.low_res_px))
    embeds = np.random.default_rng(0).integers(0x3C00, 0x4000, (tokens, stage.text_width), np.uint16)  # .008 to 2
    batch = assemble(config, positions, [sample] * len(positions), padded_text(config, [embeds] * len(positions)))
    return replace(batch, dropout=dropout_seeds(config, positions))
