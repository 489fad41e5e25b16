"""Reading a trained stage back: its config, its text encoder and one track of its weights. No trainer is needed.

    runs/x/train/base64/checkpoints/step_00001000/
      COMMIT.json      {"step": 1000, "files": {"rank_0/manifest.json": {"sha256", "size"}, "stage.json": ...}}
      stage.json       {"stage": StageConfig, "text": TextConfig}
      rank_0/          manifest.json {"files": {"ema_ema.safetensors": {"sha256", "size"}}}, and the tensors

A folder without COMMIT.json does not count. What is read is checked against its digest first; where a byte differs the
checkpoint before is taken, with a warning. Only JSON and safetensors are read.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse_tensors
from torch import Tensor

from configs import UserError, resolve

from .layers import UNet
from .stage import StageConfig, build
from .text import TextConfig

RAW = "params"  # the track of the weights themselves, without averaging
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


class BrokenError(Exception):
    """A checkpoint that cannot be used; says what is wrong in a line."""


def load_stage(folder: str | Path, *, track: str = "ema", device: str = "cpu") -> LoadedStage:
    """The newest whole checkpoint of a stage's run, or the one checkpoint whose folder is given.

    track: the name of an EMA track, or "params" for the weights themselves. Raises UserError where there is no
    checkpoint, none is whole, or it has no such track.
    """
    folder = Path(folder)
    candidates = [folder] if (folder / "COMMIT.json").exists() else _committed(folder)
    if not candidates:
        raise UserError(f'{folder} has no committed checkpoint; train the stage first ("corgi train")')
    reasons = []
    for candidate in candidates:
        try:
            return _load(candidate, track, device)
        except BrokenError as error:
            reasons.append(str(error))
            log.warning("%s; taking the checkpoint before it", error)
    raise UserError(f"no checkpoint of {folder} is whole: {'; '.join(reasons)}", exit_code=1)


def _committed(run: Path) -> list[Path]:
    """Checkpoints with a COMMIT, newest first."""
    home = run / "checkpoints" if (run / "checkpoints").is_dir() else run
    return sorted((path.parent for path in home.glob("step_*/COMMIT.json")), reverse=True)


def _load(folder: Path, track: str, device: str) -> LoadedStage:
    commit = _json(folder / "COMMIT.json")
    sealed = _files(commit, folder / "COMMIT.json")
    about = _json(folder / "stage.json", sealed.get("stage.json"))
    source = str(folder / "stage.json")
    stage = resolve(StageConfig, about.get("stage", {}), source=source)
    text = resolve(TextConfig, about.get("text", {}), source=source)
    with torch.device("meta"):
        net = build(stage)
    tensors = _tensors(folder, sealed, track)
    _check_names(net, tensors, folder)
    net.load_state_dict(tensors, assign=True)
    net = net.eval().requires_grad_(False).to(device)
    return LoadedStage(stage, text, net, step=int(commit["step"]), track=track, folder=folder)


def _tensors(folder: Path, sealed: dict[str, Any], track: str) -> dict[str, Tensor]:
    """All tensors of a track, over the folders of all ranks."""
    wanted = f"{RAW if track == RAW else f'ema_{track}'}.safetensors"
    tensors: dict[str, Tensor] = {}
    tracks: set[str] = set()
    for name in sorted(name for name in sealed if name.endswith("manifest.json")):
        manifest = folder / name
        files = _files(_json(manifest, sealed[name]), manifest)
        tracks |= {file.removesuffix(".safetensors").removeprefix("ema_") for file in files if _is_track(file)}
        if wanted in files:
            tensors |= parse_tensors(_checked(manifest.parent / wanted, files[wanted]))
    if not tensors:
        raise UserError(f"{folder} has no track {track!r}; it has {', '.join(sorted(tracks)) or 'none'}")
    return tensors


def _is_track(file: str) -> bool:
    return file == f"{RAW}.safetensors" or file.startswith("ema_")


def _check_names(net: UNet, tensors: dict[str, Tensor], folder: Path) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    odd = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
    if odd:
        name = odd[0]
        raise BrokenError(
            f"{folder} does not fit its net in {len(odd)} tensors; {name}: expected {shapes.get(name, 'none')}, "
            f"got {found.get(name, 'none')}"
        )


def _json(path: Path, said: Any = None) -> dict[str, Any]:
    """A JSON object, checked if its digest is known. Only COMMIT.json has none."""
    if said is None and path.name != "COMMIT.json":
        raise BrokenError(f"{path.parent / 'COMMIT.json'} does not list {path.name}")
    data = path.read_bytes() if said is None else _checked(path, said)
    try:
        value = json.loads(data)
    except ValueError as error:
        raise BrokenError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BrokenError(f"{path} holds {type(value).__name__}, not an object")
    return value


def _files(value: dict[str, Any], path: Path) -> dict[str, Any]:
    files = value.get("files")
    if not isinstance(files, dict):
        raise BrokenError(f"{path} lists no files")
    return files


def _checked(path: Path, said: Any) -> bytes:
    """The bytes of a file, equal to those that were written."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BrokenError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
        raise BrokenError(f"{path} has other bytes than were written (sha256 differs)")
    return data
