"""What becomes a run there: each step of a pipeline's run, and each training. Group = run, job type = step or stage.

<run>/wandb.json                {"id": "5b0c..."}, made before anything is told
      download                  5b0c...-download
      train/base16/wandb.json   an id of its own
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs import UserError
from configs.redacted import redact, redacted
from configs.steps import STEPS
from pipeline.config import PipelineConfig
from pipeline.mirror import WandbConfig
from pipeline.status import config_of
from storage.atomic import commit_json, read_json
from storage.ledger import read
from storage.run import CONFIG, TRAINING, WANDB, trainings_of
from training.run_folder import read_config

from .told import Line, of_step, of_training

EVALUATE = "evaluate"  # the step in whose name `sampled` lines are told
TOLD_OF_TRAINING = {  # of its config: what it learns and how, and no path
    *("stage", "text", "optim", "steps", "batch", "micro_batch", "processes", "zero", "precision", "ema", "seed"),
    *("checkpoint", "validation", "log_every_steps", "init_track"),
}


@dataclass(frozen=True)
class Source:
    """One run of a tracker, before it is told. It travels to the process that tells."""

    folder: Path  # whose ledger it is from
    name: str  # of the step or stage
    group: str
    wandb: WandbConfig
    config: dict[str, Any]  # what is told of the config
    is_training: bool

    @cached_property
    def lines(self) -> list[Line]:
        """Return the lines of the ledger that are about it, in order; a longer ledger has the same and more."""
        lines = [line for line in read(self.folder) if isinstance(line, dict) and "event" in line]
        if self.is_training:
            return lines
        if self.name == EVALUATE:
            return [line for line in lines if line["event"] == "sampled"]
        return [line for line in lines if line["event"] == "step" and line.get("step") == self.name]

    def figures(self, line: Line) -> dict[str, float]:
        """Return the figures of a line."""
        return of_training(line) if self.is_training else of_step(line)

    @property
    def id(self) -> str:
        """Return the id of its run there."""
        return run_id(self.folder) if self.is_training else f"{run_id(self.folder)}-{self.name}"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is expected: a training has ended, a step has been called."""
        return not self.is_training or self.lines[-1]["event"] == "done"


def sources_of(run: Path, *, alone: bool = False) -> list[Source]:
    """Return what a run's folder has to tell, steps in order, then trainings. alone: of its own ledger only."""
    if not run.is_dir():
        raise UserError(f"{run} is no folder; give the folder of a run")
    is_pipeline = (run / CONFIG).exists() and not (run / TRAINING).exists()
    sources = _steps(config_of(run)) if is_pipeline else []
    sources += [source for folder in trainings_of(run) if (not alone or folder == run) for source in _training(folder)]
    told = [source for source in sources if source.lines]
    if not told:
        raise UserError(f"{run} has nothing to tell yet: no ledger with a line of a step or a training", exit_code=1)
    return told


def _steps(config: PipelineConfig) -> list[Source]:
    group = redacted(config.wandb.group or config.run.absolute().name)
    told = {
        name: {entry.section: redact(getattr(config, entry.section).model_dump(mode="json"))}
        for name, entry in STEPS.items()
        if entry.section
    }
    names = [*STEPS, EVALUATE]
    return [Source(config.run, name, group, config.wandb, told.get(name, {}), is_training=False) for name in names]


def _training(folder: Path) -> list[Source]:
    config = read_config(folder)
    if config is None:
        return []
    group = redacted(config.wandb.group or config.data.index.absolute().parent.name)
    told = redact(config.model_dump(mode="json", include=TOLD_OF_TRAINING))
    return [Source(folder, config.stage.name, group, config.wandb, told, is_training=True)]


def run_id(folder: Path) -> str:
    """Return the id of a folder's runs, made once, whoever asks first."""
    path = folder / WANDB
    if (known := read_json(path)) is None:
        scratch = path.with_name(f".{WANDB}.{os.getpid()}")
        commit_json(scratch, {"id": secrets.token_hex(6)})
        with suppress(FileExistsError):
            os.link(scratch, path)  # fails where another was first, which a rename would not
        scratch.unlink()
        known = read_json(path)
    return known["id"]
