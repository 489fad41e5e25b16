"""What is done with the stages of a cascade."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, RunFolder, TrainFile, app


@app.command()
def train(
    config: TrainFile,
    overrides: Overrides = None,
    accepts_new_data: Annotated[
        bool, typer.Option("--accept-new-data", help="Go on though the index has changed; noted from which step on.")
    ] = False,
) -> None:
    """Train one stage, or continue where it stopped. It knows nothing of the other stages."""
    from training.launcher import train as train_stage

    raise typer.Exit(train_stage(config, overrides or [], accepts_new_data=accepts_new_data))


@app.command()
def explain(configs: Annotated[list[Path], typer.Argument(help="YAML files of stages' trainings")]) -> None:
    """Print what stages are, without weights. Parameters, batch arithmetic, memory."""
    from training.status import explain as describe

    for config in configs:
        print(describe(config))


@app.command()
def evaluate(run: RunFolder, overrides: Overrides = None) -> None:
    """Draw sets of pictures with a run's newest checkpoints, and measure them. samples/ and figures.json."""
    from evaluation.evaluate import evaluate as evaluate_run

    evaluate_run(run, overrides or [])


@app.command()
def sample(
    stages: Annotated[list[Path], typer.Argument(help="Run folders of the trained stages, lowest first")],
    caption: Annotated[list[str], typer.Option(help="What to draw; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("samples"),
    seed: Annotated[int, typer.Option(help="Of the first image; the next has the next seed.")] = 0,
) -> None:
    """Draw captions with trained stages: the base, and any number of those that enlarge after it."""
    from evaluation.sample_sets import draw

    for path in draw(stages, captions=caption, out=out, seed=seed):
        print(path)
