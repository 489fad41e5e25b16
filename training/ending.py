"""The last lines of `corgi train`: how well it went, where the weights are, and the commands that come next."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs import UserError, printable
from storage.checkpoint import RAW, committed
from storage.ledger import read_training
from storage.run import CONFIG

from .config import TrainConfig
from .run_folder import read_config

SPLITS = {"held_out": "held-out", "train": "trained-on"}
EMA = "ema"  # the track that `corgi sample` takes where none is named
CAPTION = "a red apple"  # where no grid tells of a caption of this run's own


def last_lines(run: Path) -> list[str]:
    """Return what a person wants to know where a training has ended, done or stopped, from what it left behind."""
    lines, config, checkpoints = read_training(run), read_config(run), committed(run)
    if not lines or config is None or not checkpoints:
        return []
    last = {line["event"]: line for line in lines}
    ended = "done" if lines[-1]["event"] == "done" else "stopped"
    said = [f"{ended} at step {lines[-1]['step']:,}, {_judged(last.get('validation'))}", f"checkpoint {checkpoints[0]}"]
    said += _passed_over(lines)
    if ended == "stopped":
        said.append(f"to go on: {_command('corgi', 'train', str(run / CONFIG))}")
    said.append(_to_sample(run, caption=_caption(last.get("grid"))))
    if config.wandb.mode != "disabled":
        said.append(f"to send it to W&B: {_command('corgi', 'sync', str(run))}")
    return said


def _passed_over(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line about the images that could not be used, where there are such."""
    bad = [line for line in lines if line["event"] == "bad_image"]
    if not bad:
        return []
    images = {(number, key) for line in bad for number, key in [(line["shard"], line["key"]), *line["also"]]}
    what = "1 image" if len(images) == 1 else f"{len(images):,} images"
    return [
        f"{what} could not be used, and others stood in; the last, {printable(bad[-1]['key'])}: {bad[-1]['reason']}"
    ]


def _judged(validation: Mapping[str, Any] | None) -> str:
    """Return the loss and the caption gap of the last validation in words, of both splits."""
    if validation is None or not validation.keys() & SPLITS.keys():
        return "never validated (validation.every_steps, and two pairs at least)"
    splits = [
        f"{name} loss {validation[split]['mean_loss']:.4f}, caption gap {validation[split]['middle_gap']:.3f}"
        for split, name in SPLITS.items()
        if split in validation
    ]
    when = f" (at step {validation['step']:,})"
    return "; ".join(splits) + when


def _caption(grid: Mapping[str, Any] | None) -> str:
    return printable(" ".join(grid["captions"][0].split())) if grid else CAPTION


def _to_sample(run: Path, *, caption: str) -> str:
    """Return the command that draws with this stage, and with those that must draw before it."""
    stages = [*reversed([*_below(run)]), run]
    configs = [config for stage in stages if (config := read_config(stage))]
    if (px := configs[0].stage.low_res_px) is not None:
        return f"to sample it, train a stage of {px} px first: it enlarges what that one draws"
    track = _track(configs)
    named = [] if track == EMA else ["--ema", track]
    return f"to sample it: {_command('corgi', 'sample', *map(str, stages), *named, '--caption', caption)}"


def _track(configs: Sequence[TrainConfig]) -> str:
    """Return the weights that all these stages have: averages, if there are such."""
    shared = [track for track in configs[0].ema if all(track in config.ema for config in configs)]
    return EMA if EMA in shared else next(iter(shared), RAW)


def _below(run: Path) -> Iterator[Path]:
    """Yield the trainings beside this one whose images it enlarges, the nearest first."""
    config = read_config(run)
    trained = {folder: its for folder in sorted(run.parent.glob("*")) if (its := _trained(folder)) is not None}
    while config is not None and (px := config.stage.low_res_px) is not None:
        folder = next((folder for folder, its in trained.items() if its.stage.image_px == px), None)
        if folder is None:
            return
        config = trained[folder]
        yield folder


def _trained(folder: Path) -> TrainConfig | None:
    """Return the config of a training that has a checkpoint; None for other folders, and what nobody can read."""
    try:
        return read_config(folder) if committed(folder) else None
    except UserError:
        return None


def _command(*words: str) -> str:
    return shlex.join(words)
