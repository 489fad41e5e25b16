"""What people ask of trainings: where they stand; `corgi explain CONFIG`, what one amounts to."""

from pathlib import Path
from typing import NamedTuple

from configs import UserError, load
from storage.ledger import read_training
from storage.processes import is_locked
from storage.run import LOCK, TRAINING, index_of, trainings_of
from storage.typed import typed_training

from .changes import noted
from .config import TrainConfig, shown
from .data.index import read_index
from .run_folder import read_config
from .standing import Standing, slow_ranks, standing_of


class StageStatus(NamedTuple):
    """One stage."""

    stage: str
    folder: Path
    standing: Standing
    is_here: bool  # it is trained on this machine now
    notes: tuple[str, ...]  # from which step on a setting differs, and whether its pairs have changed

    @property
    def sentence(self) -> str:
        """Return how far it is, and all that a person should know of it."""
        now = self.standing
        loss = [] if now.loss is None else [f"loss {now.loss:.4f}", f"{now.images_per_s:.1f} images/s"]
        saved = "nothing saved yet" if now.saved_at is None else f"saved at {now.saved_at:,}"
        restarts = [f"{now.restarts} restart{'s' * (now.restarts > 1)}"] if now.restarts else []
        goodput = [] if now.goodput is None else [f"goodput {now.goodput:.0%}"]
        parts = [f"step {now.step:,} of {now.steps:,}", *loss, *self._ended(), saved, *restarts, *goodput, *self.notes]
        return ", ".join(parts)

    def _ended(self) -> list[str]:
        ago = f"{self.standing.silent_s:,.0f} s ago"
        ends = {"": [], "done": ["done"], "stopped": [f"stopped {ago}; the same command goes on"]}
        return ends.get(self.standing.last_event, [f"last line {ago}"])


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
    config = read_config(folder)
    assert config is not None
    lines = read_training(folder)
    notes = [*noted(lines), *slow_ranks(lines), *_stale(folder, config)]
    return StageStatus(config.stage.name, folder, standing_of(folder, config), is_locked(folder / LOCK), tuple(notes))


def _stale(folder: Path, config: TrainConfig) -> list[str]:
    """Return a note where the pairs have changed since this training began."""
    try:
        content = read_index(config.data).content
    except UserError:
        return []
    if index_of(folder) == content:
        return []
    return [f"stale: the index has changed since it began; {typed_training(folder)} --accept-new-data goes on with it"]
