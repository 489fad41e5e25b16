"""Stages that suit the machine and the number of pairs.

tiny     16 -> 64 -> 256 px, 12 + 9 + 2 M parameters: minutes on a CPU
small    64 -> 256 px, 309 + 66 M: a day on one GPU
paper    64 -> 256 -> 1024 px, 2.1 + 0.6 + 0.45 G: days on 256 GPUs
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import configs
from configs import UserError, nearest, read_yaml, resolve
from training.config import TrainConfig

from .look import Sight
from .policy import reaches

Name = Literal["tiny", "small", "paper"]
NAMES: tuple[Name, ...] = get_args(Name)
YAML = Path(configs.__file__).parent
LARGE_SHARE, LARGE_COUNT = 0.1, 16  # of pictures stored at 256 px, from which that stage is worth training
SAME_CAPTION = 0.5  # of the captions, from which they cannot be shuffled for a validation
LINES = 20  # of the log, at least: a step may take long, and nobody knows how the training goes before the first
VALIDATIONS, STEPS_A_VALIDATION = 6, 50  # at most so many a training; each takes the time of some steps


@dataclass(frozen=True)
class Preset:
    """Where the stages' YAMLs lie, what share of the minutes each has, and how many minutes where nobody says."""

    folder: Path
    shares: dict[str, float]
    minutes: float | None  # None: the YAMLs say the steps


PRESETS: dict[Name, Preset] = {
    "tiny": Preset(YAML / "quickstart", {"base16": 0.7, "sr64": 0.15, "sr256": 0.15}, 7.0),
    "small": Preset(YAML / "presets" / "small", {"base64": 0.7, "sr256": 0.3}, 1440.0),
    "paper": Preset(YAML / "train", {"base64": 1, "sr256": 1, "sr1024": 1}, None),
}


@dataclass(frozen=True)
class Machine:
    """What there is to compute with."""

    cores: int
    memory_gib: float
    gpus_gib: tuple[float, ...]  # memory of each GPU

    def __str__(self) -> str:
        gpus = f"{len(self.gpus_gib)} GPUs of {min(self.gpus_gib):.0f} GiB" if self.gpus_gib else "no GPU"
        return f"{self.cores} cores, {self.memory_gib:.0f} GiB of memory, {gpus}"


def this_machine() -> Machine:
    """Return what this process may use."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = tuple(torch.cuda.get_device_properties(number).total_memory / 2**30 for number in range(count))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, memory, gpus)


def suited(machine: Machine, pairs: int) -> Name:
    """Return the largest preset that machine and pairs can feed."""
    if len(machine.gpus_gib) >= 8 and min(machine.gpus_gib) >= 70 and pairs >= 10_000_000:
        return "paper"
    return "small" if machine.gpus_gib and min(machine.gpus_gib) >= 20 and pairs >= 20_000 else "tiny"


def named(name: str) -> Name:
    """Return the preset of this name. Raises UserError."""
    for known in NAMES:
        if known == name:
            return known
    raise UserError(f"--preset {name!r} is none{nearest(name, NAMES)}")


def stage_names(preset: Name, sight: Sight) -> list[str]:
    """Return the stages that there are pictures for. Where sizes are not known, tiny does without its last."""
    names = list(PRESETS[preset].shares)
    if preset != "tiny":
        return names
    large = sum(min(size) >= 256 for size in sight.sizes)
    share = large / len(sight.sizes) if sight.sizes else 0.0
    return names if share >= LARGE_SHARE and share * sight.pairs >= LARGE_COUNT else names[:-1]


def stage_values(
    preset: Name, stage: str, run: Path, sight: Sight, machine: Machine, *, precision: str
) -> dict[str, Any]:
    """Return what the YAML of a stage says, sized to the machine; its steps are still the preset's."""
    values = read_yaml(PRESETS[preset].folder / f"{stage}.yaml")
    values |= {"run": str(run / "train" / stage), "data": {**values["data"], "index": str(run / "index.parquet")}}
    values |= {"wandb": {"mode": "disabled"}}
    if not reaches(sight, values["stage"]["image_px"]):
        values["data"].setdefault("column", stage)  # of pairs that are large enough: see select.stages
    if preset != "paper":
        values["precision"] = precision
    if preset == "small":
        values["processes"] = 1 << max(len(machine.gpus_gib).bit_length() - 1, 0)  # a power of two divides the batch
    most = max((sight.captions.count(caption) for caption in set(sight.captions[:200])), default=0)
    if most > SAME_CAPTION * len(sight.captions):
        values["validation"] = {**values["validation"], "every_steps": 0}
    return values


def with_steps(values: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return the values with so many steps, and what must follow from them."""
    values = {**values, "steps": steps, "checkpoint": {"every_steps": max(1, min(1000, -(-steps // 4)))}}
    if steps < LINES * 10:
        values["log_every_steps"] = max(1, steps // LINES)
    optim, validation = values["optim"], values["validation"]
    values["optim"] = {**optim, "warmup_steps": min(optim.get("warmup_steps", 1000), max(1, steps // 10))}
    if validation["every_steps"]:
        count = min(VALIDATIONS, max(1, steps // STEPS_A_VALIDATION))
        values["validation"] = {**validation, "every_steps": -(-steps // count)}
    return values


def loaded(values: dict[str, Any]) -> TrainConfig:
    """Return the config that the values are."""
    return resolve(TrainConfig, values)


def largest_px(stages: Sequence[dict[str, Any]]) -> int:
    """Return the side of what the last stage makes, in pixels."""
    return max(stage["stage"]["image_px"] for stage in stages)
