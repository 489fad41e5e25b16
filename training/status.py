"""`corgi status RUN`: where every step of the pipeline and every stage's training stands, on one screen."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from configs import UserError, load
from pipeline.files import read_json
from pipeline.status import steps_of

from . import checkpoint, ledger
from .config import TrainConfig
from .index import read_index
from .runfolder import RUN, read_config

TRAIN = "train"  # folder of the stages' runs in a pipeline's run


class StageStatus(NamedTuple):
    """One stage's line."""

    stage: str
    step: int
    steps: int
    sentence: str


def show(run: Path) -> None:
    """Prints one line for each step of a pipeline's run and each stage below it, or for a training alone."""
    if not run.is_dir():
        raise UserError(f"{run} is no folder; give the folder of a run")
    alone = (run / RUN).exists()  # a training's own folder, and no pipeline's
    lines = [] if alone else [f"{found.step:10} {found.sentence}" for found in steps_of(run)]
    lines += [f"{found.stage:10} {found.sentence}" for found in stages_of(run)]
    lines += [f"{config.stage.name:10} {'train:':6} not begun; corgi train {file}" for file, config in waiting(run)]
    print("\n".join(lines))


def stages_of(run: Path) -> list[StageStatus]:
    """The stages that were begun in a run, small pictures first; the run may be a stage's own."""
    found = [(config.stage.image_px, folder) for folder in trainings_of(run) if (config := read_config(folder))]
    return [_stage(folder) for _, folder in sorted(found)]


def waiting(run: Path) -> list[tuple[Path, TrainConfig]]:
    """Stages whose configs lie in the run's folder and that were not begun, small pictures first."""
    begun, found = {stage.stage for stage in stages_of(run)}, []
    for file in run.glob("*.yaml"):
        try:
            config = load(TrainConfig, file)
        except UserError:  # the pipeline's config, or a chain's
            continue
        if config.stage.name not in begun and not (config.run / RUN).exists():
            found.append((file, config))
    return sorted(found, key=lambda one: one[1].stage.image_px)


def trainings_of(run: Path) -> list[Path]:
    """Folders of trainings in a run: itself, or those in <run>/train."""
    return [folder for folder in [run, *sorted((run / TRAIN).glob("*"))] if (folder / RUN).exists()]


def _stage(folder: Path) -> StageStatus:
    config, lines = read_config(folder), ledger.read(folder)
    assert config is not None
    step = max((line["step"] for line in lines), default=0)
    parts = [f"{'train:':6} step {step:,} of {config.steps:,}", *_numbers(lines)]
    saved = checkpoint.committed(folder)
    parts.append(f"saved at {int(saved[0].name.removeprefix('step_')):,}" if saved else "nothing saved yet")
    parts += _stale(folder, config)
    return StageStatus(config.stage.name, step, config.steps, ", ".join(parts))


def _numbers(lines: list[dict[str, Any]]) -> list[str]:
    """What the last lines of the ledger say."""
    if not lines:
        return []
    last, steps = lines[-1], [line for line in lines if line["event"] == "step"]
    loss = [f"loss {steps[-1]['loss']:.4f}", f"{steps[-1]['images_per_s']:.1f} images/s"] if steps else []
    ago = f"{max(0, round(time.time() - last['time'])):,} s ago"
    ends = {"done": "done", "stopped": f"stopped {ago}; the same command goes on"}
    return [*loss, ends.get(last["event"], f"last line {ago}")]


def _stale(folder: Path, config: Any) -> list[str]:
    """Whether the pairs have changed since this training began."""
    try:
        content = read_index(config.data).content
    except UserError:
        return []
    begun = (read_json(folder / RUN) or {}).get("index")
    return [] if begun == content else ["stale: the index has changed since it began"]
