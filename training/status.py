"""What people ask of trainings: `corgi status RUN`, where they stand; `corgi explain CONFIG`, what one amounts to."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from configs import UserError, load
from pipeline.status import steps_of
from storage.checkpoint import committed, step_of
from storage.ledger import read_training
from storage.run import TRAINING, index_of, trainings_of
from storage.typed import typed_training

from .changes import noted
from .config import TrainConfig, shown
from .data.index import read_index
from .run_folder import read_config


class StageStatus(NamedTuple):
    """One stage's line."""

    stage: str
    sentence: str


def show(run: Path) -> None:
    """Print one line for each step of a pipeline's run and each stage below it, or for a training alone."""
    if not run.is_dir():
        raise UserError(f"{run} is no folder; give the folder of a run")
    alone = (run / TRAINING).exists()  # a training's own folder, and no pipeline's
    lines = [] if alone else [f"{status.step:10} {status.sentence}" for status in steps_of(run)]
    lines += [f"{status.stage:10} {status.sentence}" for status in stages_of(run)]
    lines += [f"{config.stage.name:10} {'train:':6} not begun; corgi train {file}" for file, config in waiting(run)]
    print("\n".join(lines))


def explain(config_file: Path) -> str:
    """Return parameters, sizes and the arithmetic of a training, some lines of text, before anything is trained."""
    from cascade.explain import explain as explain_stage

    config = load(TrainConfig, config_file)
    try:
        samples = read_index(config.data).samples
    except UserError:  # the index is not made yet
        samples = None
    lines = [explain_stage(config.stage).text, *shown(config, world_size=config.processes, samples=samples)]
    return "\n".join([lines[0], *(f"training     {line}" for line in lines[1:])])


def stages_of(run: Path) -> list[StageStatus]:
    """Return the stages that were begun in a run, small images first; the run may be a stage's own."""
    begun = [(config.stage.image_px, folder) for folder in trainings_of(run) if (config := read_config(folder))]
    return [_status_of(folder) for _, folder in sorted(begun)]


def waiting(run: Path) -> list[tuple[Path, TrainConfig]]:
    """Return stages whose configs lie in the run's folder and that were not begun, small images first."""
    begun, files = {stage.stage for stage in stages_of(run)}, []
    for file in run.glob("*.yaml"):
        try:
            config = load(TrainConfig, file)
        except UserError:  # the pipeline's config, or a chain's
            continue
        if config.stage.name not in begun and not (config.run / TRAINING).exists():
            files.append((file, config))
    return sorted(files, key=lambda pair: pair[1].stage.image_px)


def _status_of(folder: Path) -> StageStatus:
    config, lines, saved = read_config(folder), read_training(folder), committed(folder)
    assert config is not None
    step = max((line["step"] for line in lines), default=0)
    parts = [f"{'train:':6} step {step:,} of {config.steps:,}", *_numbers(lines)]
    parts.append(f"saved at {step_of(saved[0]):,}" if saved else "nothing saved yet")
    parts += [*noted(lines), *_stale(folder, config)]
    return StageStatus(config.stage.name, ", ".join(parts))


def _numbers(lines: list[dict[str, Any]]) -> list[str]:
    """Return what the last lines of the ledger say."""
    if not lines:
        return []
    last, steps = lines[-1], [line for line in lines if line["event"] == "step"]
    loss = [f"loss {steps[-1]['loss']:.4f}", f"{steps[-1]['images_per_s']:.1f} images/s"] if steps else []
    ago = f"{max(0, round(time.time() - last['time'])):,} s ago"
    ends = {"done": "done", "stopped": f"stopped {ago}; the same command goes on"}
    return [*loss, ends.get(last["event"], f"last line {ago}")]


def _stale(folder: Path, config: TrainConfig) -> list[str]:
    """Return a note where the pairs have changed since this training began."""
    try:
        content = read_index(config.data).content
    except UserError:
        return []
    if index_of(folder) == content:
        return []
    return [f"stale: the index has changed since it began; {typed_training(folder)} --accept-new-data goes on with it"]
