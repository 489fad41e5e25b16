"""The config of a training that is small enough for a test, and what it left behind."""

from pathlib import Path
from typing import Any

import yaml

from configs import resolve
from storage.atomic import sha256_file
from storage.checkpoint import folder_of
from storage.ledger import read_training
from tests.factory import WIDTH
from training.config import TrainConfig

NET = {
    "kind": "adm",
    "channels": 16,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "attention_px": [8],
    "head_channels": 16,
    "text_dim": 16,
}
SR_NET = {
    "kind": "efficient",
    "channels": [8, 16],
    "res_blocks": [1, 1],
    "strides": [1, 2],
    "attention": ["none", "text"],
    "heads": 2,
    "text_dim": 16,
}
BASE = {"name": "base16", "image_px": 16, "text_width": WIDTH, "model": NET}
SR = {"name": "sr32", "image_px": 32, "low_res_px": 16, "crop_px": 16, "text_width": WIDTH, "model": SR_NET}


def values_of(run: Path, index: Path, **further: object) -> dict[str, object]:
    """Return the values of a small training's config, as a YAML file would hold them."""
    return {
        "run": str(run),
        "stage": BASE,
        "data": {"index": str(index), "window_shards": 2, "workers": 0},
        "optim": {"lr": 2e-3, "warmup_steps": 5},
        "ema": {"ema": {"decay": 0.99}},
        "steps": 6,
        "batch": 8,
        "micro_batch": 8,
        "checkpoint": {"every_steps": 3},
        "validation": {"every_steps": 0, "samples": 4, "buckets": 4},
        "log_every_steps": 1,
        "seed": 7,
    } | further


def config_of(run: Path, index: Path, **further: object) -> TrainConfig:
    """Return the same, checked."""
    return resolve(TrainConfig, values_of(run, index, **further))


def write_config(folder: Path, values: dict[str, object]) -> Path:
    """Write a YAML file of these values; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def digests(run: Path, step: int) -> dict[str, str]:
    """Return the sha256 of every file of a checkpoint."""
    folder = folder_of(run, step)
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def events(run: Path, event: str) -> list[dict[str, Any]]:
    """Return the lines of the ledger of this event that still hold."""
    return [line for line in read_training(run) if line["event"] == event]


def losses(run: Path) -> list[float]:
    """Return the loss of every step that still holds."""
    return [line["loss"] for line in events(run, "step")]
