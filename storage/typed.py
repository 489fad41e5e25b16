"""Commands as a person types them: an error that names one can be answered by pasting it.

typed(path, "score", "select")     corgi score runs/mine && corgi select runs/mine
"""

import shlex
from pathlib import Path
from typing import Any

from configs import UserError, read_yaml
from configs.steps import STEPS, entries_of

from .run import CONFIG, TRAIN

PIPELINE = "pipeline.yaml"  # what a folder of configs begins with, where `corgi init` wrote it
LEVELS = 3  # of folders, from a shard's file up to its run


def typed(path: Path, *steps: str) -> str:
    """Return the commands that make a file of a run, or of its folder: by the run, or the YAML that it begins with.

    A step that is none of this run, since it adopts its shards, say, is told as the one that begins it. Where neither
    run nor YAML is there, PIPELINE.yaml stands for what only the person knows.
    """
    source, values = _known(path)
    return " && ".join(f"corgi {_of_way(step, values)} {shlex.quote(str(source))}" for step in steps)


def typed_training(folder: Path) -> str:
    """Return the command that begins a training, or goes on with it, by its folder."""
    beside = folder.parent.parent / f"{folder.name}.yaml"  # mine/base16.yaml, of mine/train/base16
    for file in (folder / CONFIG, *([beside] if folder.parent.name == TRAIN else [])):
        if file.exists():
            return f"corgi train {shlex.quote(str(file))}"
    return "corgi train STAGE.yaml"


def typed_whole(run: Path) -> str:
    """Return the command that trains all stages of a run, where its configs lie in its folder; else one of them."""
    return f"corgi run {shlex.quote(str(run))}" if (run / PIPELINE).exists() else "corgi train STAGE.yaml"


def _known(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return what a step of the run that a path lies in is called with, and what its config says."""
    for folder in (path, *path.parents)[:LEVELS]:
        if (folder / CONFIG).exists():
            return folder, _values(folder / CONFIG)
        values = _values(folder / PIPELINE)
        if Path(str(values.get("run"))).absolute() == folder.absolute():
            return folder / PIPELINE, values
    return Path("PIPELINE.yaml"), {}


def _values(file: Path) -> dict[str, Any]:
    try:
        return read_yaml(file)
    except UserError:  # none is there, or the command that reads it says what is wrong with it
        return {}


def _of_way(step: str, values: dict[str, Any]) -> str:
    """Return the step, or the first one of the run's way where it is of the other."""
    adopt = values.get("adopt")
    entries = entries_of("shards" if isinstance(adopt, dict) and adopt.get("source") else "table")
    return step if STEPS[step] in entries else next(entry.name for entry in entries if entry.way)
