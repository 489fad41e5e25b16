"""The mirror in Weights & Biases. Never needed: whatever it does wrong ends the mirror, not the training.

The run's id stands in wandb.json before anything is logged, so a training that is requeued goes on under its name.
"""

import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.atomic import commit_json, read_json
from storage.run import WANDB

from .config import TrainConfig


class WandbLogger:
    """Mirrors lines of the ledger, one for each training, on the main rank only; does nothing when it is off."""

    def __init__(self, config: TrainConfig) -> None:
        self._run: Any = None
        if config.wandb.mode != "disabled":
            self._safely(lambda: self._begin(config))

    def mirror(self, line: dict[str, Any]) -> None:
        """Send one line of the ledger; its numbers become curves over `seen`."""
        if self._run is not None:
            self._safely(lambda: self._run.log(flat(line)))

    def show(self, line: dict[str, Any], images: np.ndarray) -> None:
        """Send a grid's line and its images, (n, px, px, 3) uint8, each under its caption."""
        if self._run is not None:
            self._safely(lambda: self._run.log({**flat(line), "grid": _pictures(images, line["captions"])}))

    def close(self) -> None:
        """End the run, so that all is sent."""
        if self._run is not None:
            self._safely(lambda: self._run.finish())

    def _begin(self, config: TrainConfig) -> None:
        import wandb

        group = config.wandb.group or config.data.index.parent.name
        # what is sent is what is named here: no argv, no environment, no code, no console
        settings = wandb.Settings(
            console="off",
            silent=True,
            host="-",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            project=config.wandb.project,
            group=group,
            job_type=config.stage.name,
            name=config.stage.name,
            id=run_id(config.run),
            resume="allow" if config.wandb.mode == "online" else None,
            mode="online" if config.wandb.mode == "online" else "offline",
            dir=config.run,
            config=config.model_dump(mode="json"),
            allow_val_change=True,  # a training may go on with other settings
            settings=settings,
        )
        self._run.define_metric("*", step_metric="seen")

    def _safely(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # a mirror may break in any way it likes
            self._run = None
            print(f"wandb: {type(error).__name__}: {error}; training goes on without it", file=sys.stderr)


def offline_folders(run: Path) -> list[Path]:
    """Return what was mirrored offline and waits to be sent, the earliest first; `wandb sync` takes them in order."""
    return sorted((run / "wandb").glob(f"offline-run-*-{run_id(run)}*")) if (run / WANDB).exists() else []


def run_id(run: Path) -> str:
    """Return the id of this training's W&B run, made once."""
    known = read_json(run / WANDB)
    if known is None:
        known = {"id": secrets.token_hex(6)}
        commit_json(run / WANDB, known)
    return known["id"]


def _pictures(images: np.ndarray, captions: Sequence[str]) -> list[Any]:
    import wandb
    from PIL import Image

    pictures = map(Image.fromarray, images)  # an array would be scaled to its own range
    return [wandb.Image(picture, caption=caption) for picture, caption in zip(pictures, captions, strict=True)]


def flat(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line as W&B wants it: event/name -> number, lists by place."""
    values = {key: value for key, value in line.items() if key not in ("event", "step", "seen", "time")}
    numbers = {"step": line["step"], "seen": line.get("seen", 0)}
    _flatten(values, line["event"], numbers)
    return numbers


def _flatten(value: Any, name: str, numbers: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{name}/{key}", numbers)
    elif isinstance(value, list):
        _flatten({str(place): inner for place, inner in enumerate(value)}, name, numbers)
    elif isinstance(value, (int, float)):
        numbers[name] = value
