"""`corgi evaluate RUN [key=value ...]`: images and figures of a run, by the newest checkpoints of its stages.

    samples/training.*   30 training pairs of each group, drawn by every stage      figures.json   each figure,
    samples/held_out.*   200 pairs that no stage has seen                                          its bar, and
                                                                                                   whether it holds
What is there and fresh is not made again, so after a kill the same command goes on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cascade.device import find_device
from cascade.text_encoder import TextEmbedder
from cascade.weights import LoadedStage, load_stage, read_stage
from configs import UserError, load, resolve
from storage.checkpoint import committed
from storage.run import trainings_of
from storage.samples import EVALUATE, FIGURES, read_figures, write_figures
from storage.typed import typed_whole

from .config import Bars, EvaluateConfig
from .eval_set import kept
from .measure import Evaluation


def evaluate(run: Path, overrides: Sequence[str] = ()) -> Path:
    """Draw, measure and write figures.json; return its path. Raises UserError where no stage has a checkpoint."""
    config = config_of(run, overrides)
    find_device(config.device)
    embed = TextEmbedder(device=config.device)
    stages = cascade_of(run, config)
    for name in sorted(config.sample.samplers.keys() - {stage.config.name for stage in stages}):
        print(f"evaluate: sample.samplers.{name} is passed over: no stage of that name draws")
    evaluation = Evaluation(run, config, stages, kept(run, config), embed)
    if read_figures(run).get("fingerprint") == evaluation.fingerprint:
        print(f"evaluate: {run / FIGURES} is there and fresh")
        return run / FIGURES
    content = {"config": config.model_dump(mode="json"), **evaluation.measure()}
    path = write_figures(run, content, fingerprint=evaluation.fingerprint)
    for name, entry in content["figures"].items():
        print(f"evaluate: {_line(name, entry, config.bars)}")
    return path


def config_of(run: Path, overrides: Sequence[str] = ()) -> EvaluateConfig:
    """Return the run's own config, or the defaults where it has none, with the overrides over it."""
    if (run / EVALUATE).exists():
        return load(EvaluateConfig, run / EVALUATE, overrides)
    return resolve(EvaluateConfig, {}, overrides, source="evaluate")


def cascade_of(run: Path, config: EvaluateConfig) -> list[LoadedStage]:
    """Return the run's trained stages, lowest first, as far as each enlarges what the one before makes."""
    folders = trainings_of(run)
    if not folders:
        raise UserError(f'{run} has no trained stage; run "{typed_whole(run)}" first')
    begun = [folder for folder in folders if committed(folder)]
    if begun:
        for folder in sorted(set(folders) - set(begun)):
            print(f"evaluate: {folder.name} is left out: it has no checkpoint yet")
    about = [(folder, read_stage(folder)) for folder in begun or folders]
    cascade: list[LoadedStage] = []
    for folder, stage in sorted(about, key=lambda pair: pair[1].image_px):
        if not cascade or stage.low_res_px == cascade[-1].config.image_px:
            cascade.append(load_stage(folder, track=config.track, device=config.device))
        else:
            print(f"evaluate: {stage.name} is left out: it does not enlarge what {cascade[-1].config.name} makes")
    return cascade


def _line(name: str, entry: dict[str, Any], bars: Bars) -> str:
    """Return one figure for people."""
    if entry["figure"] is None:
        return f"{name}: not measured: {entry['says']}"
    missed = "takes the long run" if bars.of_longer_run else "missed"
    verdict = {True: "holds", False: missed, None: ""}[entry["holds"]]
    return f"{name}: {entry['figure']:.3g}  {entry['bar'] or ''}  {verdict}".rstrip()
