"""Pictures and figures of a trained quickstart: python -m quickstart.figures runs/quickstart [key=value ...]

    samples/training.*   30 names of each of nine groups, drawn by every stage      figures.json   each figure,
    samples/held_out.*   200 names that no stage has seen                                          its bar, and
                                                                                                   whether it holds
What is there and fresh is not made again, so after a kill the same command goes on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from cascade.weights import LoadedStage, load_stage
from configs import UserError, resolve
from pipeline.files import commit_json, read_json
from pipeline.orphans import die_with_starter
from training.status import trainings_of

from .chosen import kept
from .measure import FiguresConfig, Work

FIGURES = "figures.json"


def make(run: Path, config: FiguresConfig) -> Path:
    """Draws, measures and writes figures.json; returns its path."""
    work = Work(run, config, stages_of(run), kept(run))
    if (read_json(run / FIGURES) or {}).get("fingerprint") == work.fingerprint:
        print(f"figures: {run / FIGURES} is there and fresh")
        return run / FIGURES
    found = {"fingerprint": work.fingerprint, "chosen": config.model_dump(mode="json"), **work.measure()}
    commit_json(run / FIGURES, found)
    for name, one in found["figures"].items():
        verdict = {True: "holds", False: "missed", None: ""}[one["holds"]]
        print(f"figures: {name}: {one['figure']:.3g}  {one['bar'] or ''}  {verdict}".rstrip())
    return run / FIGURES


def stages_of(run: Path) -> list[LoadedStage]:
    """The newest checkpoints of the run's stages, small pictures first."""
    stages = [load_stage(folder) for folder in trainings_of(run)]
    if not stages:
        raise UserError(f"{run} has no trained stage; run corgi train {run / 'base16.yaml'} and the others first")
    return sorted(stages, key=lambda stage: stage.config.image_px)


def main(arguments: Sequence[str]) -> int:
    """Exit codes as those of corgi."""
    die_with_starter()
    if not arguments:
        print("usage: python -m quickstart.figures RUN [key=value ...]", file=sys.stderr)
        return 2
    try:
        make(Path(arguments[0]), resolve(FiguresConfig, {}, arguments[1:], source="figures"))
    except UserError as error:
        print(f"figures: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
