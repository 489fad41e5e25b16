"""The config of one stage's training: what a run is made of, and the arithmetic it must satisfy.

    batch 64 = micro_batch 16 x accumulation 2 x processes 2

A file in configs/train/ says only what differs from these defaults. `shown(config, world_size)` prints what follows.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cascade.config import StageConfig
from cascade.text_encoder import TextConfig
from configs import Config, UserError
from pipeline.mirror import WandbConfig
from storage.checkpoint import RAW

OWN = "caption"  # the column of the pairs' own captions
Beta = Annotated[float, Field(ge=0, lt=1)]


class DataConfig(Config):
    """Which pairs are trained on, and how they are read."""

    index: Path  # index.parquet at the top of the pipeline's run
    column: str = "train"  # of the keep-list: train, or the column of a stage that adds rules
    window_shards: int = Field(default=16, ge=1)  # samples are shuffled over so many shards at a time
    workers: int = Field(default=1, ge=0)  # threads that make batches ready; 0: made when asked for
    ahead: int = Field(default=2, ge=1)  # micro-batches that each worker keeps ready
    # of decoded images kept in memory, and of live text embeds, per process; none of images where 99 % would not fit
    cache_mib: int = Field(default=512, ge=0)
    bad_images: int = Field(default=100, ge=0)  # that may be missing or broken before training stops


class TextDataConfig(Config):
    """Where the text embeds come from, and how often the text is dropped so that guidance can be learned."""

    mode: Literal["stored", "live"] = "stored"  # live encodes in the loader: same numbers, no files
    encoder: TextConfig = TextConfig()
    drop: float = Field(default=0.1, ge=0, le=1)  # share of samples that see the null text
    max_tokens: int = Field(default=256, ge=1)  # longer texts are cut here
    noise: float = Field(default=0.0, ge=0)  # most that training adds to embeds, in units of a text's own spread
    # Columns of captions -> how often each is drawn, e.g. {caption: 1, llava: 3}; `caption` is the pair's own. Further
    # ones are stored by `embed.captions`. Empty: the pair's own alone. Validation always reads the pair's own.
    captions: dict[str, Annotated[float, Field(gt=0)]] = Field(default={}, examples=[{"caption": 1, "llava": 3}])
    pairing: Literal["own", "shuffled"] = "own"  # shuffled: a control run, each image with the text of another


class OptimConfig(Config):
    """Adam and its learning rate. weight_decay 0 is plain Adam, else decoupled as in AdamW."""

    lr: float = Field(default=1e-4, gt=0, allow_inf_nan=False)  # learning rate after the warm-up
    betas: tuple[Beta, Beta] = (0.9, 0.999)  # how long the two moments remember
    eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False)  # added to the root of the second moment
    # Times lr, taken from every weight at each step.
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clip: float = Field(default=1.0, gt=0)  # global norm that gradients are scaled down to
    warmup_steps: int = Field(default=1000, ge=0)  # in which lr rises from 0, linearly
    schedule: Literal["constant", "cosine", "inverse_sqrt"] = "constant"  # after the warm-up
    cosine_steps: int | None = Field(
        default=None, ge=1, examples=[100_000]
    )  # where cosine reaches zero; null: at `steps`
    max_bad_steps: int = Field(default=10, ge=1)  # steps in a row with a loss that is not finite, all of them skipped
    max_rewinds: int = Field(default=1, ge=0)  # then: to the same checkpoint, leaving out their samples; then it stops


class EmaConfig(Config):
    """One moving average of the weights, in fp32. Early on it follows faster: min(decay, (1 + n) / (10 + n))."""

    decay: float = Field(default=0.9999, gt=0, lt=1)  # share of the average that stays at each step
    warmup: Literal["power", "none"] = "power"  # power: faster early on


class CheckpointConfig(Config):
    """When checkpoints are written, and how many stay."""

    every_steps: int = Field(default=1000, ge=1)  # the last step writes one, too
    # minutes after the last one that another is due, whatever the steps: most of what a kill costs; null: never
    every_min: float | None = Field(default=30, gt=0)
    on_error: Literal["go_on", "stop"] = "go_on"  # where one cannot be written, e.g. for a full disk; the last must be
    keep: int = Field(default=2, ge=2)  # fewer than two would leave nothing to fall back to


class ValidationConfig(Config):
    """Loss by noise level on fixed samples, with right and with shuffled captions; and a grid of images."""

    every_steps: int = Field(default=1000, ge=0)  # 0: never; the last step always validates otherwise
    samples: int = Field(default=64, ge=2)  # of the held-out set, and as many of the training set
    buckets: int = Field(default=8, ge=1)  # of log-SNR, at times (b + 1/2) / buckets
    grid: int = Field(default=8, ge=0)  # images drawn each time, half of held-out captions; 0: none
    grid_steps: int = Field(default=32, ge=1)  # of the stage's sampler, where it would take more


class HealthConfig(Config):
    """When a training that does not move, or gets nowhere, is ended."""

    hang_min: float = Field(default=10, gt=0)  # minutes in which a rank does nothing, until all are ended with 75
    leave_s: float = Field(default=120, gt=0)  # the same in seconds, once the training was asked to leave
    restarts: int = Field(default=2, ge=1)  # in a row without a newer checkpoint, after which the next ends with 93


class TrainConfig(Config):
    """One stage's training. Knows nothing of the other stages."""

    run: Path  # folder of this training: config, ledger, checkpoints
    # folder of another training whose weights this one starts from, at step 0
    init_from: Path | None = Field(default=None, examples=["runs/laion/train/base64"])
    init_track: str = "ema"  # which of its weights: an EMA track, or "params" for the raw ones
    stage: StageConfig
    data: DataConfig
    text: TextDataConfig = TextDataConfig()
    optim: OptimConfig = OptimConfig()
    steps: int = Field(ge=1)  # of the optimizer, in all
    batch: int = Field(ge=1)  # samples of one optimizer step, over all processes
    micro_batch: int = Field(ge=1)  # samples of one forward pass in one process
    processes: int = Field(default=1, ge=1)  # on each machine
    zero: Literal[0, 1, 2, 3] = 1  # what DeepSpeed shares out: 1 optimizer state, 2 gradients too, 3 weights too
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: autocast over fp32 masters
    recompute: Literal["none", "block"] = "none"  # block: activations once more in the backward pass, to save memory
    ema: dict[str, EmaConfig] = {"ema": EmaConfig()}
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: ValidationConfig = ValidationConfig()
    health: HealthConfig = HealthConfig()
    wandb: WandbConfig = WandbConfig()
    log_every_steps: int = Field(default=10, ge=1)  # a line in the ledger and on the terminal
    seed: int = Field(default=0, ge=0, lt=2**63)  # of weights, order, noise, crops: the same gives the same training

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.zero == 3:
            raise ValueError("zero 3 is not supported yet, and no stage of the paper needs it; use zero: 1 or 2")
        if self.batch % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} must divide batch {self.batch}")
        if not all(track.isidentifier() for track in self.ema):
            raise ValueError(f"ema tracks are named by plain words, got {sorted(self.ema)}")
        if RAW in self.ema:
            raise ValueError(f"ema: {RAW!r} names the weights without averaging; give the track another name")
        return self


def accumulation(config: TrainConfig, world_size: int) -> int:
    """Return the forward passes of each process for one step. Raises UserError where the numbers do not work out."""
    each = config.micro_batch * world_size
    if config.batch % each:
        raise UserError(
            f"batch {config.batch} is not a multiple of micro_batch {config.micro_batch} x {world_size} processes "
            f"= {each}; change batch, micro_batch or processes"
        )
    return config.batch // each


def effective_zero(config: TrainConfig, world_size: int) -> int:
    """Return what `zero` comes to: one process has nothing to share out, and 0 is then the cheapest of equals."""
    return config.zero if world_size > 1 else 0


def shown(config: TrainConfig, *, world_size: int, samples: int | None) -> list[str]:
    """Return the derived numbers, a line each. samples: in one epoch, None where that is not known yet."""
    seen = config.steps * config.batch
    epochs = f": {seen / samples:.2f} epochs of {samples:,}" if samples else ""
    zero = effective_zero(config, world_size)
    return [
        f"batch {config.batch} = micro_batch {config.micro_batch} x accumulation {accumulation(config, world_size)}"
        f" x {world_size} processes",
        f"{config.steps:,} steps see {seen:,} samples{epochs}",
        f"zero {zero}" + (f" (asked: {config.zero}; one process has nothing to share out)" * (zero != config.zero)),
        f"{config.precision}; checkpoints every {config.checkpoint.every_steps:,} steps, {config.checkpoint.keep} kept",
        *_short_of_lr(config),
    ]


def _short_of_lr(config: TrainConfig) -> list[str]:
    """Return a line where the training ends before the learning rate is at its height."""
    optim, steps = config.optim, config.steps
    if optim.warmup_steps <= steps:
        return []
    return [f"ends while lr still rises to {optim.lr:g}: optim.warmup_steps is {optim.warmup_steps:,}; lower it"]


def learning_rate(config: OptimConfig, *, step: int, steps: int) -> float:
    """Return the rate of the step that follows `step` done steps: linear warm-up, then the schedule.

    A pure function, so any resume has it right.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return config.lr * warm
    if config.schedule == "inverse_sqrt":
        since = max(config.warmup_steps, 1)
        return config.lr * warm * math.sqrt(since / max(step + 1, since))
    horizon = max((config.cosine_steps or steps) - config.warmup_steps, 1)
    done = min(max(step - config.warmup_steps, 0) / horizon, 1.0)
    return config.lr * warm * 0.5 * (1 + math.cos(math.pi * done))
