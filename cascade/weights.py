"""Reading a trained stage back: its config, its text encoder and one track of its weights. No trainer is needed.

Checkpoints are read by storage/checkpoint.py: a folder without COMMIT.json does not count, what is read is checked
against its digest first, and only JSON and safetensors are read. Where one is broken the one before it is taken, with a
warning.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from configs import UserError, resolve
from storage.atomic import sha256_cached
from storage.checkpoint import COMMIT, STAGE, BrokenError, committed, read_about, read_track
from storage.run import TRAIN
from storage.typed import typed_training

from .layers import UNet
from .stage import StageConfig, build
from .text_encoder import TextConfig

Found = TypeVar("Found")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedStage:
    """A stage ready to sample from."""

    config: StageConfig
    text: TextConfig  # the encoder it was trained with
    net: UNet
    step: int
    track: str
    folder: Path
    digest: str = ""  # of its COMMIT, which seals all its bytes; a training goes on and removes old checkpoints
    max_tokens: int | None = None  # of a text that it was trained with; longer ones are cut here. None: none is


def load_stage(folder: str | Path, *, track: str = "ema", device: str = "cpu") -> LoadedStage:
    """Return the newest whole checkpoint of a stage's run, or the one checkpoint whose folder is given.

    track: the name of an EMA track, or "params" for the weights themselves. Raises UserError where there is no
    checkpoint, none is whole, or it has no such track.
    """
    return _newest(Path(folder), lambda candidate: _load(candidate, track, device))


def read_stage(folder: str | Path) -> StageConfig:
    """Return the config of what `load_stage` would load; no weights are read. Raises UserError as it does."""
    return _newest(Path(folder), lambda candidate: _stage(candidate, read_about(candidate)[1]))


def _newest(folder: Path, read: Callable[[Path], Found]) -> Found:
    """Return what is read of the newest checkpoint that can be read. Raises UserError where there is none."""
    candidates = [folder] if (folder / COMMIT).exists() else committed(folder)
    if not candidates:
        raise UserError(_why_none(folder))
    reasons = []
    for candidate in candidates:
        try:
            return read(candidate)
        except BrokenError as error:
            reasons.append(str(error))
            log.warning("%s; taking the checkpoint before it", error)
    raise UserError(f"no checkpoint of {folder} is whole: {'; '.join(reasons)}", exit_code=1)


def _stage(folder: Path, about: dict[str, Any]) -> StageConfig:
    return resolve(StageConfig, about.get("stage", {}), source=str(folder / STAGE))


def _why_none(folder: Path) -> str:
    """Return why a folder has no checkpoint, and what to do."""
    trainings = [str(training) for training in sorted((folder / TRAIN).glob("*")) if committed(training)]
    if trainings:
        return f"{folder} is the run of a pipeline; give stages of it: {' '.join(trainings)}"
    return f'{folder} has no committed checkpoint; run "{typed_training(folder)}" first'


def _load(folder: Path, track: str, device: str) -> LoadedStage:
    step, about = read_about(folder)
    digest = sha256_cached(folder / COMMIT)
    stage, cut = _stage(folder, about), about.get("max_tokens")
    text = resolve(TextConfig, about.get("text", {}), source=str(folder / STAGE))
    tensors, tracks = read_track(folder, track)
    if not tensors:
        raise UserError(f"{folder} has no track {track!r}; it has {', '.join(tracks) or 'none'}")
    with torch.device("meta"):
        net = build(stage)
    _check_names(net, tensors, folder)
    net.load_state_dict(tensors, assign=True)
    net = net.eval().requires_grad_(False).to(device)
    return LoadedStage(stage, text, net, step=step, track=track, folder=folder, digest=digest, max_tokens=cut)


def _check_names(net: UNet, tensors: dict[str, Tensor], folder: Path) -> None:
    expected = {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}
    stored = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differing = sorted(name for name in expected.keys() | stored.keys() if expected.get(name) != stored.get(name))
    if differing:
        name = differing[0]
        raise BrokenError(
            f"{folder} does not fit its net in {len(differing)} tensors; {name}: expected "
            f"{expected.get(name, 'none')}, got {stored.get(name, 'none')}"
        )
